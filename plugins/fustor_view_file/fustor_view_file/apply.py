"""Applying verdicts: registers into packs, edges into seats, what follows into tallies and feed."""

from __future__ import annotations

from typing import Any

from fustor_core.claims import Key, Owed, edge_key, is_dir
from fustor_core.contracts import Applied, Verdict, Write
from fustor_core.registers import Register, Seen
from fustor_view_file import tally
from fustor_view_file.budget import Budget
from fustor_view_file.directory import Directory
from fustor_view_file.feed import Feed
from fustor_view_file.firsts import Firsts, share
from fustor_view_file.guard import Guard
from fustor_view_file.holding import WHOLE, hold, thaw, weight, where_frozen
from fustor_view_file.links import HardLinks
from fustor_view_file.pack import Pack
from fustor_view_file.sightings import Sightings
from fustor_view_file.telling import Teller, prefix_of
from fustor_view_file.tree import Tree
from fustor_view_file.unseen import unseen

LEFT_OUT = frozenset({"excluded", "other_device"})
OWED_MAX = 100
QUIET = frozenset({"incomplete", "quarantine"})  # a listing at once would end as this one did


class Registers:
    """The state of the view and the one way in which it changes.

    Attributes:
        alarms: what a person should hear of, since they were last taken.
        whole: a whole scan is over; what it could not read stays a gap. scanning: one tells of
            something in the present batch.
    """

    def __init__(self, feed: Feed, guard: Guard, budget: Budget | None = None) -> None:
        self.teller = Teller(feed)
        self.tree = Tree(self._reseated, budget or Budget())
        self.feed = feed
        self.guard = guard
        self.links, self.firsts = HardLinks(self.tree), Firsts(self.tree)
        self.sightings = Sightings()
        self.alarms: list[str] = []
        self.whole = self.scanning = False

    @property
    def ready(self) -> bool:
        """Whether the first whole look is over; from then on changes are told one by one."""
        return self.teller.ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self.teller.ready = ready

    # ---- the way in

    def set_root(self, key: Key) -> None:
        """Make this directory the root: what is shown changes with it."""
        if self.tree.root is None or self.tree.root.key != key:
            self.teller.forget_paths()
        self.tree.set_root(key)

    def apply(self, verdict: Verdict) -> None:
        """Do what a verdict says."""
        tree = self.tree
        directory = tree.dirs.get(verdict.key)
        if directory is None:
            if not (verdict.pack or verdict.writes or verdict.attrs or verdict.owe):
                return
            directory = tree.node(verdict.key)
        self.teller.origin = verdict.origin
        tree.dirty[verdict.key] = None
        self.scanning = self.scanning or verdict.origin in WHOLE
        listed = directory.heard
        if verdict.scan and listed and verdict.writes:
            held = hold(tree, self.guard, directory, verdict)
            if held:
                whole, now_us = verdict.origin in WHOLE, tree.now_us
                path = directory.path()
                self.alarms += self.guard.froze(held, path, whole=whole, now_us=now_us)
        first = verdict.pack is not None and verdict.rule == "first"
        if verdict.pack is not None:
            self._replace(directory, verdict)
        if verdict.base is not None:
            directory.look(verdict.base, verdict.origin)
        if first:
            share(tree, directory, verdict.key, verdict.via)
            self._first(directory, verdict)
        else:
            for write in verdict.writes:
                if verdict.pack is None:
                    self._store(directory, write)
                self._account(directory, write, scan=verdict.scan, listed=listed, seen=verdict.seen)
        if not verdict.keep_silent:
            directory.set_silent(verdict.silent)
        if verdict.attrs is not None:
            self._attributes(directory, verdict.attrs)
        directory.close()
        tree.budget.met(directory)
        if verdict.suspects:
            self._suspects(directory, verdict)
        if verdict.base is not None or verdict.settles is not None or verdict.owe is not None:
            self._obligations(directory, verdict)

    def commit(self) -> Applied:
        """End a batch: halves of moves that found no other half are deletions after all."""
        self.teller.end_batch()
        self.tree.strays()
        self.links.settle(scanning=self.scanning)
        self.scanning = False
        root = self.tree.root
        if not self.ready and root is not None and (self.whole or not root.count[tally.GAPS]):
            self.ready = True
            self.teller.tell("resync", b"/", None)
        owed = self._asked()
        self.settle()
        return Applied(changes=self.feed.head, owed=owed)

    def settle(self) -> None:
        """Nobody holds a pack now: those that are too many are put away."""
        self.tree.budget.settle(len(self.tree.dirs))

    def _asked(self) -> list[Owed]:
        asked = self.tree.asked
        out = []
        for key in list(asked)[:OWED_MAX]:  # the rest is told with the next batches
            deep = asked.pop(key)
            directory = self.tree.dirs.get(key)
            if directory is None or directory.owed is None or not self.tree.visible(directory):
                continue
            out.append(Owed(key, directory.path(), deep))
        return out

    def _reseated(self, directory: Directory, before: bytes | None) -> None:
        self.teller.reseated(self.tree, directory, before)

    # ---- packs

    def _replace(self, directory: Directory, verdict: Verdict) -> None:
        assert verdict.pack is not None
        pack = Pack(verdict.pack.names, verdict.pack.rows)
        directory.drop_marks()
        for name, register in (verdict.own or {}).items():
            if register.value is None:
                pack.remove(name)
            else:
                pack.put(name, register.value)
            directory.set_mark(name, register)
        directory.pack = pack
        directory.left_out = False

    def _store(self, directory: Directory, write: Write) -> None:
        pack, old = directory.pack, write.old
        if write.new.value is None:
            if old is not None and old.value is not None:
                pack.remove(write.name)
        elif old is None or old.value is None:
            pack.insert(write.name, write.new.value)
        else:
            pack.put(write.name, write.new.value)
        directory.set_mark(write.name, write.new)

    def _first(self, directory: Directory, verdict: Verdict) -> None:
        assert verdict.pack is not None
        pack, tree = directory.pack, self.tree
        files, others, size, newest, touched = tally.of_pack(pack)
        deltas = [(tally.FILES, files), (tally.OTHERS, others), (tally.BYTES, size)]
        debts = sum(1 for w in verdict.writes if w.new.debt)
        deltas.append((tally.DEBTS, debts))
        if verdict.pack.rows and _is_blind(directory) and verdict.scan:
            directory.blind = unseen(verdict.pack.names, self.sightings.number(verdict.origin))
            deltas.append((tally.BLIND, len(directory.blind)))
        tree.sums.push(directory, [d for d in deltas if d[1]])
        if verdict.pack.rows:
            tree.sums.grow(directory, tally.NEWEST_NS, newest)
            tree.sums.grow(directory, tally.TOUCHED_NS, touched)
            tree.sums.grow(directory, tally.CHANGED_US, verdict.seen.hi)
        self.links.index(directory, verdict.seen)
        told = self.ready and tree.visible(directory)
        if told:
            prefix = prefix_of(directory)
            for name, row in pack.items():
                if not is_dir(row):
                    self.teller.tell("created", prefix + name, row, seen=verdict.seen)
        adopted = 0
        for write in verdict.writes:
            if write.new.value is not None and is_dir(write.new.value):
                key = edge_key(write.new.value)
                if tree.adopt(directory, write.name, key, write.new.seen):
                    adopted += 1
                else:
                    place = (directory.key, write.name)
                    tree.add_claim(key, place, write.new.seen, moved=write.moved)
        if adopted:
            tree.sums.push(directory, [(tally.DIRS, adopted), (tally.GAPS, adopted)])

    # ---- one register

    def _account(
        self,
        directory: Directory,
        write: Write,
        *,
        scan: bool,
        listed: bool,
        seen: Seen | None = None,
    ) -> None:
        tree = self.tree
        old = write.old.value if write.old is not None else None
        new = write.new.value
        deltas: list[tuple[int, int]] = []
        was_debt = write.old is not None and write.old.debt
        if write.new.debt != was_debt:
            deltas.append((tally.DEBTS, int(write.new.debt) - int(was_debt)))
        thaw(directory, write, deltas)
        if old != new:
            self._count(directory, old, new, deltas)
            if new is None or is_dir(new):
                self._drop_suspect(directory, write.name, deltas)
            self._blind(directory, write, scan and listed, deltas)
            tree.sums.grow(directory, tally.CHANGED_US, tree.now_us)
        elif not scan and directory.blind and write.name in directory.blind:
            directory.set_blind(write.name, None)
            deltas.append((tally.BLIND, -1))
        if deltas:
            tree.sums.push(directory, deltas)
        if old != new:
            self.links.changed(directory, write, seen)
        self.teller.write(tree, directory, write)
        self._edges(directory, write, old, new)

    def _count(
        self,
        directory: Directory,
        old: bytes | None,
        new: bytes | None,
        deltas: list[tuple[int, int]],
    ) -> None:
        sums = self.tree.sums
        files, others, size = tally.of_row(new) if new is not None else (0, 0, 0)
        if old is not None:
            before = tally.of_row(old)
            files, others, size = files - before[0], others - before[1], size - before[2]
        if files:
            deltas.append((tally.FILES, files))
        if others:
            deltas.append((tally.OTHERS, others))
        if size:
            deltas.append((tally.BYTES, size))
        come = tally.newest_of(new) if new is not None and not is_dir(new) else None
        if old is not None and not is_dir(old):
            gone = tally.newest_of(old)
            if come is None or come[0] < gone[0]:
                sums.shrink(directory, tally.NEWEST_NS, gone[0])
            if come is None or come[1] < gone[1]:
                sums.shrink(directory, tally.TOUCHED_NS, gone[1])
        if come is not None:
            sums.grow(directory, tally.NEWEST_NS, come[0])
            sums.grow(directory, tally.TOUCHED_NS, come[1])

    def _blind(
        self,
        directory: Directory,
        write: Write,
        unseen: bool,
        deltas: list[tuple[int, int]],
    ) -> None:
        name = write.name
        held = directory.blind is not None and name in directory.blind
        blind = unseen and write.new.value is not None
        if blind == held:
            return
        number = self.sightings.number(self.teller.origin) if blind else None
        directory.set_blind(name, number)
        deltas.append((tally.BLIND, 1 if blind else -1))

    def _edges(
        self, directory: Directory, write: Write, old: bytes | None, new: bytes | None
    ) -> None:
        before = edge_key(old) if old is not None and is_dir(old) else None
        after = edge_key(new) if new is not None and is_dir(new) else None
        if before is None and after is None:
            return
        place = (directory.key, write.name)
        if before is not None and before != after:
            self.tree.drop_claim(before, place)
        if after is None:
            return
        if before is None and self.tree.adopt(directory, write.name, after, write.new.seen):
            self.tree.sums.push(directory, [(tally.DIRS, 1), (tally.GAPS, 1)])
        else:
            self.tree.add_claim(after, place, write.new.seen, moved=write.moved)

    def _attributes(self, directory: Directory, new: Register) -> None:
        old, sums = directory.attrs, self.tree.sums
        directory.set_attrs(new)
        if new.debt != (old is not None and old.debt):
            sums.push(directory, [(tally.DEBTS, 1 if new.debt else -1)])
        was, now = old.value if old is not None else None, new.value
        if now is None or now == was:
            return
        after = tally.newest_of(now)[1]
        if was is not None and after < (before := tally.newest_of(was)[1]):
            sums.shrink(directory, tally.TOUCHED_NS, before)
        sums.grow(directory, tally.TOUCHED_NS, after)
        if was is not None and was[32:44] != now[32:44]:  # mode, uid, gid
            self.teller.changed(self.tree, directory, new)

    # ---- suspects

    def _suspects(self, directory: Directory, verdict: Verdict) -> None:
        deltas = 0
        for name, suspect in verdict.suspects.items():
            held = name in directory.suspects
            row = directory.pack.get(name) if suspect else None
            if suspect and (row is None or is_dir(row)):
                continue
            if suspect:
                directory.set_suspect(name, verdict.seen.hi)
            elif held:
                directory.set_suspect(name, None)
            if suspect != held:
                deltas += 1 if suspect else -1
                if not any(w.name == name for w in verdict.writes[:64]):
                    self.teller.flagged(self.tree, directory, name)
        if deltas:
            self.tree.sums.push(directory, [(tally.SUSPECTS, deltas)])

    def _drop_suspect(
        self, directory: Directory, name: bytes, deltas: list[tuple[int, int]]
    ) -> None:
        if name in directory.suspects:
            directory.set_suspect(name, None)
            deltas.append((tally.SUSPECTS, -1))

    # ---- what is owed

    def _obligations(self, directory: Directory, verdict: Verdict) -> None:
        tree = self.tree
        if verdict.settles is not None:
            tree.settle(directory, verdict.settles)
        if verdict.base is not None and tree.contested():
            for key, places in list(tree.contested().items()):
                if key in tree.dirs and any(p[0] == directory.key for p in places):
                    tree.seat(tree.dirs[key], None, moved=False)
        if verdict.owe is not None:
            stamp, deep, reason, errno = verdict.owe
            if reason in LEFT_OUT:
                directory.left_out, directory.owed = True, None
                directory.because(reason, directory.errno, deep=directory.deep)
            else:
                quiet = verdict.rule in QUIET
                tree.owe(directory, stamp, deep=deep, reason=reason, errno=errno, quiet=quiet)
        tree.sums.set_gap(directory)

    def forget(self, key: Key) -> None:
        """Drop an unseated directory that nothing names."""
        directory = self.tree.dirs.get(key)
        if directory is not None and self.tree.forgets(directory):
            self.links.forget(directory)
            self.tree.forget(key)

    # ---- a person's word

    def confirm(self, path: bytes, *, reject: bool) -> list[dict[str, Any]]:
        """Let frozen removals at and below `path` happen, or throw them away.

        Returns:
            {path, removes} for each directory in which something was frozen.
        """
        tree = self.tree
        top = tree.directory_at(path)
        done: list[dict[str, Any]] = []
        for directory in list(where_frozen(tree, top)) if top is not None else []:
            frozen, directory.frozen = directory.frozen or {}, None
            tree.sums.push(directory, [(tally.FROZEN, -len(frozen))])
            removes = 0
            for name in sorted(frozen):
                old = directory.get(name)
                if old is None or old.value is None:
                    continue
                value = old.value if reject else None
                new = Register(value, old.seen, False, old.rt, old.origin)
                removes += 0 if reject else weight(tree, directory, Write(name, old, new))
                write = Write(name, old, new)
                self._store(directory, write)
                self._account(directory, write, scan=True, listed=True)
            done.append({"path": directory.path(), "removes": removes})
            tree.dirty[directory.key] = None
            tree.budget.met(directory)
        return done


def _is_blind(directory: Directory) -> bool:
    parent = directory.parent
    return parent is not None and parent.blind is not None and directory.name in parent.blind
