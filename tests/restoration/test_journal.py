"""What is done of a run survives kills, torn writes and power cuts; and another run does not take it for its own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from dgno.errors import NoSpace, OutputError, ResumeError
from dgno.restoration import journal as module
from dgno.restoration.journal import BLOCKS, JOURNAL, Journal, discard

IDENTITY = {"input": "a", "options": "b"}


def results(count: int = 5) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(7)
    kinds = [np.uint8, np.uint16, np.float32]
    return {3 * i: rng.integers(0, 200, (4 + i, 5, 1 + i % 3)).astype(kinds[i % 3]) for i in range(count)}


def fill(folder: Path, count: int = 5) -> None:
    with Journal(folder, IDENTITY) as journal:
        for number, result in results(count).items():
            journal.put(number, result, saturated=number)
        journal.note(tile=320)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    fill(tmp_path / "work")
    with Journal(tmp_path / "work", IDENTITY) as journal:
        assert set(journal.entries) == set(results())
        for number, result in results().items():
            found = journal.get(number)
            assert found.dtype == result.dtype
            np.testing.assert_array_equal(found, result)
            assert journal.entries[number].facts == {"saturated": number}
        assert journal.notes == [{"tile": 320}]


def test_results_can_be_read_before_they_are_on_the_disk(tmp_path: Path) -> None:
    with Journal(tmp_path / "work", IDENTITY) as journal:
        for number, result in results().items():
            journal.put(number, result)
            np.testing.assert_array_equal(journal.get(number), result)


def test_a_journal_cut_at_any_byte_gives_whole_results_or_none(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    log, data = ((tmp_path / "whole" / name).read_bytes() for name in (JOURNAL, BLOCKS))
    found_before = 0
    for end in range(len(log) + 1):
        folder = tmp_path / f"cut{end}"
        folder.mkdir()
        (folder / JOURNAL).write_bytes(log[:end])
        (folder / BLOCKS).write_bytes(data)
        with Journal(folder, IDENTITY) as journal:
            for number in journal.entries:
                np.testing.assert_array_equal(journal.get(number), results()[number])
            assert len(journal.entries) >= found_before
            found_before = len(journal.entries)
            journal.put(99, np.ones((2, 2, 1)))  # and it goes on
        with Journal(folder, IDENTITY) as journal:
            assert 99 in journal
            assert len(journal.entries) == found_before + 1
    assert found_before == len(results())


def test_every_flipped_byte_of_a_record_ends_the_journal_there(tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    log, data = ((tmp_path / "whole" / name).read_bytes() for name in (JOURNAL, BLOCKS))
    first = log.index(b'"block"') - 10
    for place in range(first, len(log), 7):
        folder = tmp_path / f"flip{place}"
        folder.mkdir()
        (folder / JOURNAL).write_bytes(log[:place] + bytes([log[place] ^ 0x40]) + log[place + 1 :])
        (folder / BLOCKS).write_bytes(data)
        with Journal(folder, IDENTITY) as journal:
            assert len(journal.entries) < len(results()) or not journal.notes
            for number in journal.entries:
                np.testing.assert_array_equal(journal.get(number), results()[number])


def test_data_that_are_missing_are_not_spoken_of(tmp_path: Path) -> None:
    fill(tmp_path / "work")
    data = (tmp_path / "work" / BLOCKS).read_bytes()
    (tmp_path / "work" / BLOCKS).write_bytes(data[:-1])
    with Journal(tmp_path / "work", IDENTITY) as journal:
        assert set(journal.entries) == set(list(results())[:-1])


def test_damaged_data_are_noticed(tmp_path: Path) -> None:
    fill(tmp_path / "work")
    data = bytearray((tmp_path / "work" / BLOCKS).read_bytes())
    data[3] ^= 1
    (tmp_path / "work" / BLOCKS).write_bytes(data)
    with Journal(tmp_path / "work", IDENTITY) as journal, pytest.raises(OutputError, match="damaged"):
        journal.get(0)


def test_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    fill(tmp_path / "work")
    with pytest.raises(ResumeError, match=r"differs in input, model;.*--overwrite"):
        Journal(tmp_path / "work", {"input": "c", "options": "b", "model": "m"})
    fill(tmp_path / "work", 2)  # what was there is untouched


def test_no_record_is_on_the_disk_before_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut keeps what was synced and may lose the rest: at each moment the synced journal speaks of synced data
    alone."""
    folder = tmp_path / "work"
    synced = {JOURNAL: b"", BLOCKS: b""}
    states = []
    real = os.fsync

    def recorded(descriptor: int) -> None:
        real(descriptor)
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name in synced:
            synced[name] = (folder / name).read_bytes()
            states.append(dict(synced))

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(module, "SYNC_BYTES", 100)  # several syncs in one run
    fill(folder, 9)
    monkeypatch.undo()
    most = 0
    for i, state in enumerate(states):
        after = tmp_path / f"cut{i}"
        after.mkdir()
        for name, data in state.items():
            (after / name).write_bytes(data)
        with Journal(after, IDENTITY) as journal:
            spoken = state[JOURNAL].count(b'"block"')
            assert len(journal.entries) == spoken
            for number in journal.entries:
                np.testing.assert_array_equal(journal.get(number), results(9)[number])
            most = max(most, spoken)
    assert most == 9
    assert len(states) > 6


def test_a_sync_that_was_interrupted_is_done_again_over_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between two bytes of the journal: what is written when the run ends is whole."""
    for after in range(1, 700, 60):
        folder = tmp_path / str(after)
        journal = Journal(folder, IDENTITY)
        for number, result in results().items():
            journal.put(number, result)
        log = journal._log

        def write(file: object, data: bytes, real=module._write, log=log, after=after) -> None:
            if file is log:
                real(log, data[:after])
                raise KeyboardInterrupt
            real(file, data)

        monkeypatch.setattr(module, "_write", write)
        with pytest.raises(KeyboardInterrupt):
            journal.sync()
        monkeypatch.undo()
        journal.close()
        with Journal(folder, IDENTITY) as again:
            assert set(again.entries) == set(results())
        assert (folder / JOURNAL).read_bytes().count(b'"block"') == len(results())


def test_a_full_disk_is_said_and_what_was_synced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "work")
    journal = Journal(tmp_path / "work", IDENTITY)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    journal.put(50, np.ones((3, 3, 1)))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        journal.close()
    monkeypatch.undo()
    with Journal(tmp_path / "work", IDENTITY) as again:
        assert set(results()) <= set(again.entries)


def test_a_journal_is_never_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / "work" / BLOCKS).symlink_to(tmp_path / "precious")
    with pytest.raises(OutputError):
        Journal(tmp_path / "work", IDENTITY)
    assert (tmp_path / "precious").read_text() == "keep me"


def test_removing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    fill(tmp_path / "work")
    (tmp_path / "work" / "other").write_text("mine")
    discard(tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["other"]
    (tmp_path / "work" / "other").unlink()
    discard(tmp_path / "work")
    assert not (tmp_path / "work").exists()
