"""Applying verdicts: registers into packs, edges into seats, what follows into tallies and feed."""

from __future__ import annotations

from fustor_core.claims import Key, Owed, edge_key, is_dir, split_names, unpack_row
from fustor_core.contracts import Applied, Verdict, Write
from fustor_core.registers import NO_LINE, Register, Seen

from fustor_view_file import tally
from fustor_view_file.directory import Directory
from fustor_view_file.feed import Change, Feed
from fustor_view_file.guard import Guard
from fustor_view_file.links import HardLinks
from fustor_view_file.pack import Pack
from fustor_view_file.tree import Tree

LEFT_OUT = frozenset({"excluded", "other_device"})
OWED_MAX = 100


class Registers:
    """The state of the view and the one way in which it changes.

    Attributes:
        ready: the first whole look is over; from then on changes are told one by one.
        alarms: what a person should hear of, since they were last taken.
    """

    def __init__(self, feed: Feed, guard: Guard) -> None:
        self.tree = Tree(self._reseated)
        self.feed = feed
        self.guard = guard
        self.links = HardLinks()
        self.ready = False
        self.alarms: list[str] = []
        self.wall_ns = 0
        self._lost: dict[Key, bytes] = {}
        self._halves: dict[int, tuple[bytes, Verdict]] = {}
        self._origin = "snapshot"

    # ---- the way in

    def apply(self, verdict: Verdict) -> None:
        """Do what a verdict says."""
        tree = self.tree
        directory = tree.dirs.get(verdict.key)
        if directory is None:
            if not (verdict.pack or verdict.writes or verdict.attrs or verdict.owe):
                return
            directory = tree.node(verdict.key)
        self._origin = verdict.origin.value
        tree.dirty.add(verdict.key)
        listed = directory.base is not None
        if verdict.scan and listed and verdict.writes:
            self._hold_mass_deletion(directory, verdict)
        first = verdict.pack is not None and verdict.rule == "first"
        if verdict.pack is not None:
            self._replace(directory, verdict)
        if verdict.base is not None:
            directory.base, directory.origin = verdict.base, verdict.origin
        if first:
            self._first(directory, verdict)
        else:
            for write in verdict.writes:
                if verdict.pack is None:
                    self._store(directory, write)
                self._account(directory, write, verdict, listed)
        if not verdict.keep_silent:
            directory.silent = verdict.silent
        if verdict.attrs is not None:
            self._attributes(directory, verdict.attrs)
        self._suspects(directory, verdict)
        self._obligations(directory, verdict)

    def commit(self) -> Applied:
        """End a batch: halves of moves that found no other half are deletions after all."""
        for path in self._lost.values():
            self._tell("deleted", path, None)
        self._lost.clear()
        for path, _ in self._halves.values():
            self._tell("deleted", path, None)
        self._halves.clear()
        if self.links.wanted:
            self._search_links()
        root = self.tree.root
        if not self.ready and root is not None and not root.count[tally.GAPS]:
            self.ready = True
            self._origin = "snapshot"
            self._tell("resync", b"/", None)
        return Applied(changes=self.feed.head, owed=self._asked())

    def _asked(self) -> list[Owed]:
        asked, self.tree.asked = self.tree.asked, {}
        out = []
        for key in list(asked)[:OWED_MAX]:
            directory = self.tree.dirs.get(key)
            if directory is None or directory.owed is None or not self.tree.visible(directory):
                continue
            out.append(Owed(key, directory.path(), asked[key]))
        return out

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
        pack = directory.pack
        if write.new.value is None:
            pack.remove(write.name)
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
        names = split_names(verdict.pack.names) if verdict.pack.rows else []
        if names and _is_blind(directory) and verdict.scan:
            directory.blind = set(names)
            deltas.append((tally.BLIND, len(names)))
        tree.push(directory, [d for d in deltas if d[1]])
        if names:
            tree.grow(directory, tally.NEWEST_NS, newest)
            tree.grow(directory, tally.TOUCHED_NS, touched)
            tree.grow(directory, tally.CHANGED_US, verdict.seen.hi)
        self._index_links(directory)
        told = self.ready and tree.visible(directory)
        if told:
            prefix = _prefix(directory)
            for name, row in pack.items():
                if not is_dir(row):
                    self._tell("created", prefix + name, row, seen=verdict.seen)
        for write in verdict.writes:
            if write.new.value is not None and is_dir(write.new.value):
                place = (directory.key, write.name)
                key = edge_key(write.new.value)
                tree.add_claim(key, place, write.new.seen, moved=write.moved)

    def _index_links(self, directory: Directory) -> None:
        for part in directory.pack.parts:
            if not part.rows:
                continue
            counts = memoryview(part.rows).cast("I")[11::12].tolist()
            if max(counts) > 1:
                names = split_names(part.names)
                for i, count in enumerate(counts):
                    if count > 1:
                        ino = int.from_bytes(part.rows[i * 48 + 24 : i * 48 + 32], "little")
                        self.links.add(ino, (directory.key, names[i]), count)

    # ---- one register

    def _account(self, directory: Directory, write: Write, verdict: Verdict, listed: bool) -> None:
        tree = self.tree
        old = write.old.value if write.old is not None else None
        new = write.new.value
        deltas: list[tuple[int, int]] = []
        was_debt = write.old is not None and write.old.debt
        if write.new.debt != was_debt:
            deltas.append((tally.DEBTS, int(write.new.debt) - int(was_debt)))
        self._thaw(directory, write, deltas)
        if old != new:
            self._count(directory, old, new, deltas)
            if new is None or is_dir(new):
                self._drop_suspect(directory, write.name, deltas)
            self._blind(directory, write, verdict, listed, deltas)
            tree.grow(directory, tally.CHANGED_US, tree.now_us)
        elif not verdict.scan and directory.blind and write.name in directory.blind:
            directory.blind.discard(write.name)
            deltas.append((tally.BLIND, -1))
        if deltas:
            tree.push(directory, deltas)
        if old != new:
            self._links(directory, write, verdict, old, new)
        self._told(directory, write, verdict, old, new)
        self._edges(directory, write, old, new)

    def _count(
        self,
        directory: Directory,
        old: bytes | None,
        new: bytes | None,
        deltas: list[tuple[int, int]],
    ) -> None:
        before = tally.of_row(old) if old is not None else (0, 0, 0)
        after = tally.of_row(new) if new is not None else (0, 0, 0)
        for index, a, b in zip((tally.FILES, tally.OTHERS, tally.BYTES), before, after, strict=True):
            if a != b:
                deltas.append((index, b - a))
        gone = tally.newest_of(old) if old is not None and not is_dir(old) else None
        come = tally.newest_of(new) if new is not None and not is_dir(new) else None
        for place, index in enumerate((tally.NEWEST_NS, tally.TOUCHED_NS)):
            if gone is not None and (come is None or come[place] < gone[place]):
                self.tree.shrink(directory, index, gone[place])
            if come is not None:
                self.tree.grow(directory, index, come[place])

    def _blind(
        self,
        directory: Directory,
        write: Write,
        verdict: Verdict,
        listed: bool,
        deltas: list[tuple[int, int]],
    ) -> None:
        name = write.name
        held = directory.blind is not None and name in directory.blind
        blind = verdict.scan and listed and write.new.value is not None
        if blind == held:
            return
        if blind:
            directory.blind = directory.blind or set()
            directory.blind.add(name)
        elif directory.blind is not None:
            directory.blind.discard(name)
            directory.blind = directory.blind or None
        deltas.append((tally.BLIND, 1 if blind else -1))

    def _edges(
        self, directory: Directory, write: Write, old: bytes | None, new: bytes | None
    ) -> None:
        place = (directory.key, write.name)
        before = edge_key(old) if old is not None and is_dir(old) else None
        after = edge_key(new) if new is not None and is_dir(new) else None
        if before is not None and before != after:
            self.tree.drop_claim(before, place)
        if after is not None:
            self.tree.add_claim(after, place, write.new.seen, moved=write.moved)

    def _attributes(self, directory: Directory, new: Register) -> None:
        old, directory.attrs = directory.attrs, new
        if new.value is None or (old is not None and old.value == new.value):
            return
        after = tally.newest_of(new.value)[1]
        if old is not None and old.value is not None:
            before = tally.newest_of(old.value)[1]
            if after < before:
                self.tree.shrink(directory, tally.TOUCHED_NS, before)
            self.tree.grow(directory, tally.TOUCHED_NS, after)
            was, now = unpack_row(old.value), unpack_row(new.value)
            if (was.mode, was.uid, was.gid) != (now.mode, now.uid, now.gid) and self.ready:
                if self.tree.visible(directory):
                    self._tell("modified", directory.path(), new.value, seen=new.seen)
            return
        self.tree.grow(directory, tally.TOUCHED_NS, after)

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
                    self._flagged(directory, name)
        if deltas:
            self.tree.push(directory, [(tally.SUSPECTS, deltas)])

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
                directory.left_out, directory.reason, directory.owed = True, reason, None
            else:
                quiet = verdict.rule == "incomplete"
                tree.owe(directory, stamp, deep=deep, reason=reason, errno=errno, quiet=quiet)
        tree.set_gap(directory)

    def _links(
        self,
        directory: Directory,
        write: Write,
        verdict: Verdict,
        old: bytes | None,
        new: bytes | None,
    ) -> None:
        place = (directory.key, write.name)
        touched = set()
        before = unpack_row(old) if old is not None and not is_dir(old) else None
        after = unpack_row(new) if new is not None and not is_dir(new) else None
        if before is not None and before.nlink > 1:
            touched.add(before.ino)
            self.links.want(before.ino)
            if after is None or after.ino != before.ino or after.nlink == 1:
                self.links.drop(before.ino, place)
        if after is not None and after.nlink > 1:
            touched.add(after.ino)
            self.links.add(after.ino, place, after.nlink)
        if verdict.scan:
            return
        for ino in sorted(touched):
            for key, _ in self.links.others(ino, place):
                if key in self.tree.dirs:
                    self.tree.owe(
                        self.tree.dirs[key], verdict.seen, deep=False, reason="not_yet"
                    )

    def reindex_links(self) -> None:
        """Find the rows with more than one link again, from packs that are in memory."""
        for directory in self.tree.dirs.values():
            if directory.resident:
                self._index_links(directory)

    def _search_links(self) -> None:
        now = self.tree.now_us
        late = Seen(now, now, NO_LINE, 0, 0, 0, "m")
        for key, _ in self.links.search(list(self.tree.dirs.values())):
            self.tree.owe(self.tree.dirs[key], late, deep=False, reason="not_yet")

    # ---- mass deletion

    def _hold_mass_deletion(self, directory: Directory, verdict: Verdict) -> None:
        losses = [
            w for w in verdict.writes if w.new.value is None and w.old and w.old.value is not None
        ]
        if not losses:
            return
        held: set[bytes] = set()
        weight = 0
        frozen = directory.frozen or {}
        for write in losses:
            since = frozen.get(write.name)
            if since is None:
                weight += self._weight(directory, write)
            elif not self.guard.matured(since, verdict.seen.lo):
                held.add(write.name)
        root = self.tree.root
        entries = sum(root.count[i] for i in (tally.FILES, tally.DIRS, tally.OTHERS)) if root else 0
        if self.guard.allows(weight, entries):
            self.guard.removed += weight
        else:
            held.update(w.name for w in losses if w.name not in frozen)
        if held:
            self._freeze(directory, verdict, held)

    def _weight(self, directory: Directory, write: Write) -> int:
        value = write.old.value if write.old is not None else None
        if value is None or not is_dir(value):
            return 1
        child = self.tree.child(directory, write.name, value)
        if child is None:
            return 1
        return 1 + sum(child.count[i] for i in (tally.FILES, tally.DIRS, tally.OTHERS))

    def _freeze(self, directory: Directory, verdict: Verdict, held: set[bytes]) -> None:
        fresh = 0
        for i, write in enumerate(verdict.writes):
            if write.name not in held or write.old is None:
                continue
            kept = Register(
                write.old.value, write.new.seen, True, write.old.rt, write.old.origin
            )
            verdict.writes[i] = Write(write.name, write.old, kept)
            if verdict.own is not None:
                verdict.own[write.name] = kept
            directory.frozen = directory.frozen or {}
            if write.name not in directory.frozen:
                directory.frozen[write.name] = verdict.seen.hi
                fresh += 1
        if fresh:
            self.tree.push(directory, [(tally.FROZEN, fresh)])
            self.alarms.append(
                f"{fresh} removals below {directory.path()!r} wait for a second look or a person"
            )

    def _thaw(self, directory: Directory, write: Write, deltas: list[tuple[int, int]]) -> None:
        frozen = directory.frozen
        if frozen is None or write.name not in frozen or write.new.debt:
            return
        del frozen[write.name]
        directory.frozen = frozen or None
        deltas.append((tally.FROZEN, -1))

    # ---- the feed

    def _told(
        self,
        directory: Directory,
        write: Write,
        verdict: Verdict,
        old: bytes | None,
        new: bytes | None,
    ) -> None:
        if not self.ready or not self.tree.visible(directory):
            return
        path = _prefix(directory) + write.name
        flags = ("debt",) if write.new.debt else ()
        if old == new:
            if write.old is not None and write.old.debt != write.new.debt:
                self._tell("flagged", path, new, flags=flags, seen=write.new.seen)
            return
        old_file = old if old is not None and not is_dir(old) else None
        new_file = new if new is not None and not is_dir(new) else None
        if old_file is not None and new_file is None:
            if write.moved:
                self._halves[unpack_row(old_file).ino] = (path, verdict)
            else:
                self._tell("deleted", path, None, seen=write.new.seen)
        if new_file is None:
            return
        half = self._halves.pop(unpack_row(new_file).ino, None) if write.moved else None
        kind = "moved" if half else "modified" if old_file is not None else "created"
        if kind != "moved" and write.name in directory.suspects:
            flags = (*flags, "suspect")
        self._tell(
            kind, path, new_file, from_path=half[0] if half else None, flags=flags,
            seen=write.new.seen,
        )  # fmt: skip

    def _flagged(self, directory: Directory, name: bytes) -> None:
        if self.ready and self.tree.visible(directory):
            flags = ("suspect",) if name in directory.suspects else ()
            row = directory.pack.get(name)
            self._tell("flagged", _prefix(directory) + name, row, flags=flags)

    def _reseated(self, directory: Directory, before: bytes | None) -> None:
        if self.tree.visible(directory):
            came = self._lost.pop(directory.key, before)
            path = directory.path()
            if came is not None and came != path:
                self._tell("moved", path, _row_of(directory), from_path=came)
            elif came is None and self.ready:
                self._tell("created", path, _row_of(directory))
        elif before is not None:
            self._lost[directory.key] = before

    def _tell(
        self,
        kind: str,
        path: bytes,
        row: bytes | None,
        *,
        from_path: bytes | None = None,
        flags: tuple[str, ...] = (),
        seen: Seen | None = None,
    ) -> None:
        if not self.ready:
            return
        lo, hi = (seen.lo, seen.hi) if seen is not None else (self.tree.now_us,) * 2
        self.feed.add(
            Change(
                self.feed.head + 1, self.tree.now_us, self.wall_ns, kind, path, from_path, row,
                self._origin, flags, (lo, hi),
            )  # fmt: skip
        )


def _is_blind(directory: Directory) -> bool:
    parent = directory.parent
    return parent is not None and parent.blind is not None and directory.name in parent.blind


def _prefix(directory: Directory) -> bytes:
    path = directory.path()
    return path if path.endswith(b"/") else path + b"/"


def _row_of(directory: Directory) -> bytes | None:
    parent = directory.parent
    return parent.pack.get(directory.name) if parent is not None else None
