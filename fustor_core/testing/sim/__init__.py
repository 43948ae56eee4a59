"""A deterministic simulation of agents, fusion, storage and network, by seed.

The core in it is the real one: `AgentPipeline` with its phases, outbox, pacing and back-off;
`Fusion` with sessions, leadership, lines, admission, journal, fold and arbitration; the installed
view and arbitrator. It runs on an event loop whose time is virtual (`loop`), on ground of its own
(`seams`: wall time, identities, worker threads, the journal's file). Around it, virtual: the file
tree with its whole history (`storage`), each host's caches (`mount`), kernel queue (`inotify`) and
clocks (`host`), the network (`network`), the machine of fusion with its disk (`server`), a source
with the contract of `fs` (`source`, `reading`, `watching`). Why so: docs/decisions/0010.

    python -m fustor_core.testing.sim --seed 7             one seed
    python -m fustor_core.testing.sim --seed 7 --shrink    and the least that still breaks it
    python -m fustor_core.testing.sim --seed 7 --trace     and all that happens
    python -m fustor_core.testing.sim --seed 0 --count 500

From a test::

    from fustor_core.testing.sim.campaign import run_seed, shrink

    outcome = run_seed(7)                       # draws options, operations and faults
    outcome = run_seed(7, fixed={"hosts": 3})   # some options as given (see `options.Options`)
    assert not outcome.promise, outcome         # "" = all promises held; else which one broke
    outcome = run_lists(options, operations, faults)   # a directed seed: lists by hand

Nothing of the core is copied when a run begins, so a planted bug is a changed attribute of a module
of the core, set before `run_seed` and set back after it; or `run_seed(7, arbitrates=MyArbitrator)`.
An understated cache bound is ``fixed={"bound_s": 5.0, "understated": 0.1}``.
What is checked: `checker` after every answered request, and at the end of the settling time T that
`options.settle_s` computes from the configuration. An exception that is no `Broken` is a crash of
the core (or of the simulation), and counts as a broken promise of its name.
"""
