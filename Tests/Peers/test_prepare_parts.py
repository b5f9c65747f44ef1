"""`mayfly prepare` on several machines: parts that are merged give the bytes of one run, and damage is found."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import MAYFLY, ROOT, command, mayfly, prose
from test_prepare_scale import content, corpus, kill_while_cleaning, large

OPTIONS = (
    "--vocab-size", 400, "--dedupe", "near", "--clean", "text", "--min-chars", 90, "--scrub-pii", "--val-fraction", 0.1)


def texts(folder: Path) -> tuple[Path, Path]:
    """A folder and a file of several kinds, with what repeats across them, what is left out, and what is skipped."""
    corpus(folder)
    (folder / "again").mkdir()
    for index in (3, 8, 50):
        shutil.copy(folder / f"{index:04}.txt", folder / "again" / f"{index}.txt")
    for index in range(9):
        (folder / "again" / f"short{index}.txt").write_text(f"the short text with the number {index}")
    (folder / "again" / "empty.txt").write_text(" \n")
    (folder / "again" / "latin.txt").write_bytes(("Café, naïve façade, déjà vu. " * 20).encode("windows-1252"))
    (folder / "again" / "binary.txt").write_bytes(bytes(range(32)) * 40)
    (folder / "again" / "picture.png").write_bytes(b"no text")
    (folder / "book.txt").write_text("".join(prose(60_000, seed=seed) + "\n" for seed in range(500, 520)))
    other = folder.parent / "more.jsonl.gz"
    lines = [json.dumps({"text": prose(700, seed=seed)}) for seed in range(180, 230)]
    other.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    return folder, other


def clean(inputs: tuple[Path, ...], folder: Path, count: int, *options: object) -> list[Path]:
    parts = [folder / f"part-{index}" for index in range(count)]
    for index, part in enumerate(parts):
        mayfly("prepare", *inputs, "--out", part, "--part", f"{index}/{count}", *options)
    return parts


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return texts(tmp_path_factory.mktemp("inputs") / "in")


@pytest.fixture(scope="module")
def whole(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one run makes of them."""
    out = tmp_path_factory.mktemp("whole") / "data"
    mayfly("prepare", *inputs, "--out", out, *OPTIONS)
    found = content(out)
    summary = json.loads(found["dataset.json"])
    dropped = summary["dropped"]
    assert dropped["exact_duplicate"] > 0 and dropped["near_duplicate"] > 0 and dropped["too_short"] == 9
    assert summary["split"]["method"] == "hash" and summary["split"]["documents_split_by_blocks"] == 1
    assert summary["sources"][0]["files_skipped"] == {"unsupported": 1, "binary": 1, "pdf": 0}
    return found


@pytest.fixture(scope="module")
def three(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return clean(inputs, tmp_path_factory.mktemp("three"), 3, *OPTIONS)


# --- The same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_give_the_bytes_of_one_run(
    inputs: tuple[Path, Path], whole: dict[str, bytes], tmp_path: Path, count: int
) -> None:
    parts = clean(inputs, tmp_path, count, *OPTIONS, "--workers", count)
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data", "--workers", 2)
    assert content(tmp_path / "data") == whole
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_order_of_the_parts_changes_nothing(three: list[Path], whole: dict[str, bytes], tmp_path: Path) -> None:
    for order in ((2, 0, 1), (1, 2, 0)):
        out = tmp_path / "".join(map(str, order))
        mayfly("prepare", "--merge", *(three[index] for index in order), "--out", out)
        assert content(out) == whole


def test_more_parts_than_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for index in range(3):
        (tmp_path / "in" / f"{index}.txt").write_text(prose(900, seed=index))
    inputs = (tmp_path / "in",)
    mayfly("prepare", *inputs, "--out", tmp_path / "whole", "--vocab-size", 300)
    parts = clean(inputs, tmp_path, 5, "--vocab-size", 300)
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data")
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_more_parts_than_files_may_be_open_at_once(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for index in range(50):
        (source / f"{index}.txt").write_text(prose(300, seed=index))
    parts = clean((source,), tmp_path, 50, "--vocab-size", 300)
    merge = command("prepare", "--merge", *parts, "--out", tmp_path / "data")
    done = subprocess.run(["bash", "-c", 'ulimit -Sn 64 && exec "$@"', "-", *merge], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    mayfly("prepare", source, "--out", tmp_path / "whole", "--vocab-size", 300)
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_lines_that_stand_in_documents_of_many_parts(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for index in range(24):
        line = "All rights reserved by the owners of this page.\n"
        (source / f"{index}.txt").write_text(prose(300, seed=index) + "\n" + line)
    options = ("--vocab-size", 300, "--clean", "repeated-lines")
    mayfly("prepare", source, "--out", tmp_path / "whole", *options)
    assert json.loads((tmp_path / "whole" / "dataset.json").read_text())["repeated_lines"]["different"] == 1
    parts = clean((source,), tmp_path, 4, *options)
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data")
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_what_a_part_says(three: list[Path], inputs: tuple[Path, Path], tmp_path: Path) -> None:
    said = mayfly("prepare", *inputs, "--out", tmp_path / "part", "--part", "1/3", *OPTIONS, "--json").json
    size = (three[1] / "texts.bin").stat().st_size
    assert said == {
        "part": 1, "of": 3, "files": 40, "documents": (three[1] / "documents.bin").stat().st_size // 48, "bytes": size}


def test_other_places_and_times_of_the_files_are_the_same_corpus(tmp_path: Path) -> None:
    first = corpus(tmp_path / "one", documents=30)
    (tmp_path / "elsewhere").mkdir()
    second = Path(shutil.copytree(first, tmp_path / "elsewhere" / "one", copy_function=shutil.copyfile))
    mayfly("prepare", first, "--out", tmp_path / "a", "--part", "0/2", "--vocab-size", 300)
    mayfly("prepare", second, "--out", tmp_path / "b", "--part", "1/2", "--vocab-size", 300)
    mayfly("prepare", "--merge", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "data")
    mayfly("prepare", first, "--out", tmp_path / "whole", "--vocab-size", 300)
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_a_tokenizer_that_is_given_comes_with_the_parts(inputs: tuple[Path, Path], data: Path, tmp_path: Path) -> None:
    tokenizer = tmp_path / "t" / "tokenizer.json"
    tokenizer.parent.mkdir()
    shutil.copy(data / "tokenizer.json", tokenizer)
    mayfly("prepare", *inputs, "--out", tmp_path / "whole", "--tokenizer", tokenizer)
    parts = clean(inputs, tmp_path, 2, "--tokenizer", tokenizer)
    shutil.rmtree(tokenizer.parent)
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data")
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_options_of_the_merge_come_before_those_of_the_parts(
    inputs: tuple[Path, Path], three: list[Path], tmp_path: Path
) -> None:
    changed = ("--val-fraction", 0, "--dedupe", "exact", "--seed", 2**64 - 1, "--vocab-size", 350, "--pattern", "gpt2")
    mayfly("prepare", "--merge", *three, "--out", tmp_path / "data", *changed)
    mayfly("prepare", *inputs, "--out", tmp_path / "whole", *OPTIONS, *changed)
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_a_killed_part_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    large(source / "a.jsonl")
    (source / "b.txt").write_text(prose(5_000, seed=1))
    options = ("--vocab-size", 300, "--dedupe", "exact", "--workers", 2)
    mayfly("prepare", source, "--out", tmp_path / "whole", *options)
    kill_while_cleaning(source, tmp_path / "part-0", "--part", "0/2", *options)
    # Another part isn't mistaken for it.
    mayfly("prepare", source, "--out", tmp_path / "part-1", "--part", "1/2", *options)
    done = mayfly("prepare", source, "--out", tmp_path / "part-0", "--part", "0/2", *options)
    assert "going on where an earlier run was stopped" in done.err
    assert sorted(path.name for path in (tmp_path / "part-0").iterdir()) == [
        "documents.bin", "part.json", "progress.json", "texts.bin"]
    mayfly("prepare", "--merge", tmp_path / "part-0", tmp_path / "part-1", "--out", tmp_path / "data")
    assert content(tmp_path / "data") == content(tmp_path / "whole")


def test_a_part_keeps_nothing_of_a_run_with_other_options(tmp_path: Path) -> None:
    source = large(tmp_path / "a.jsonl")
    kill_while_cleaning(source, tmp_path / "part", "--part", "0/1", "--dedupe", "near")
    source.write_text('{"text": "another text"}\n')
    mayfly("prepare", source, "--out", tmp_path / "part", "--part", "0/1")
    assert not (tmp_path / "part" / "signatures.bin").exists()


# --- Nothing is changed -----------------------------------------------------------------------------------------------


def states(folders: list[Path]) -> list[tuple[str, bytes, int, int]]:
    return [
        (path.name, path.read_bytes(), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns)
        for folder in folders for path in sorted(folder.iterdir())]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Root may write where others mayn't: for it, a disk is needed."""
    paths = [folder, *folder.rglob("*")]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in paths]
    for path, mode in zip(paths, modes):
        path.chmod(mode & 0o555)
    is_mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "--bind", folder, folder], capture_output=True).returncode == 0
    try:
        if is_mounted:
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        if is_mounted:
            subprocess.run(["umount", folder], check=True)
        for path, mode in zip(paths, modes):
            path.chmod(mode)


def test_parts_on_a_read_only_disk_are_merged_and_stay_as_they_are(
    three: list[Path], whole: dict[str, bytes], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    parts = [Path(shutil.copytree(part, disk / part.name)) for part in three]
    before = states(parts)
    with read_only(disk):
        mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data")
    assert states(parts) == before
    assert content(tmp_path / "data") == whole


# --- What doesn't fit -------------------------------------------------------------------------------------------------


def refused(*arguments: object, saying: tuple[str, ...], code: int = 65) -> None:
    error = mayfly("prepare", *arguments, code=code).err
    for text in saying:
        assert text in error, error


def test_a_missing_part_is_named(three: list[Path], tmp_path: Path) -> None:
    refused("--merge", three[0], three[2], "--out", tmp_path / "data", saying=("1 of 3 parts missing: 1/3",))
    refused("--merge", three[1], "--out", tmp_path / "data", saying=("2 of 3 parts missing: 0/3, 2/3",))
    assert not (tmp_path / "data").exists()


def test_a_part_twice_is_named(three: list[Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(three[1], tmp_path / "copy"))
    refused("--merge", *three, copy, "--out", tmp_path / "data", saying=("is part 1, as", "part-1", "copy"))


def test_a_part_of_another_number_of_parts(inputs: tuple[Path, Path], three: list[Path], tmp_path: Path) -> None:
    mayfly("prepare", *inputs, "--out", tmp_path / "other", "--part", "2/4", *OPTIONS)
    refused(
        "--merge", *three[:2], tmp_path / "other", "--out", tmp_path / "data",
        saying=("other: is one of 4 parts, not of 3",))


def test_a_part_of_other_text(inputs: tuple[Path, Path], three: list[Path], tmp_path: Path) -> None:
    other = Path(shutil.copytree(inputs[0], tmp_path / "in"))
    (other / "0002.txt").write_text("a text of another size")
    mayfly("prepare", other, inputs[1], "--out", tmp_path / "other", "--part", "2/3", *OPTIONS)
    refused(
        "--merge", *three[:2], tmp_path / "other", "--out", tmp_path / "data",
        saying=("other: is a part of another corpus", "unlike", "part-0"))


@pytest.mark.parametrize(
    "options, saying",
    [
        (("--clean", "text,c4"), "another corpus: other files, or other cleaning"),
        (("--dedupe", "exact"), "--dedupe exact, not near"),
        (("--val-fraction", 0.2), "--val-fraction 0.2, not 0.1"),
        (("--seed", 7), "--seed 7, not 0"),
        (("--vocab-size", 500), "--vocab-size 500, not 400"),
        (("--pattern", "gpt2"), "--pattern gpt2, not cl100k"),
    ])
def test_a_part_with_other_options(
    inputs: tuple[Path, Path], three: list[Path], tmp_path: Path, options: tuple[object, ...], saying: str
) -> None:
    mayfly("prepare", *inputs, "--out", tmp_path / "other", "--part", "2/3", *OPTIONS, *options)
    refused("--merge", *three[:2], tmp_path / "other", "--out", tmp_path / "data", saying=(saying,))


def test_near_duplicates_need_signatures(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    parts = clean(inputs, tmp_path, 2, "--vocab-size", 300)
    refused(
        "--merge", *parts, "--out", tmp_path / "data", "--dedupe", "near",
        saying=("--dedupe = near", "clean them again with --dedupe near"))


def test_options_that_come_too_late(three: list[Path], tmp_path: Path) -> None:
    late: list[tuple[object, ...]] = [
        ("--clean", "text"), ("--scrub-pii",), ("--stop-words", "en"), ("--decontaminate", "x.txt"), ("--min-chars", 5),
        ("--max-chars", 9), ("--languages", "en"), ("--language-model", "x"), ("--text-field", "text"),
        ("--encoding", "GB18030"), ("--part", "0/3")]
    for options in late:
        refused("--merge", *three, "--out", tmp_path / "data", *options, code=64, saying=(str(options[0]),))


@pytest.mark.parametrize(
    "part", ["3/3", "-1/3", "x", "1", "1/", "/2", "0/0", "1/2/3", "+0/2", "0/20000", "9" * 30 + "/" + "9" * 31, "½/2"])
def test_a_part_that_cannot_be(three: list[Path], tmp_path: Path, part: str) -> None:
    refused(three[0], "--out", tmp_path / "data", f"--part={part}", saying=(f"--part = {part}: expected i/n",))


def test_standard_input_has_no_parts(tmp_path: Path) -> None:
    refused("-", "--out", tmp_path / "part", "--part", "0/2", saying=("--part = 0/2", "standard input"))


def test_what_is_no_part(inputs: tuple[Path, Path], data: Path, three: list[Path], tmp_path: Path) -> None:
    for other in (inputs[0], inputs[1], data):
        refused("--merge", three[0], other, "--out", tmp_path / "data", saying=(f"{other}: no part of a corpus",))
    refused("--merge", tmp_path / "nothing", "--out", tmp_path / "data", saying=("nothing: no part of a corpus",))


# --- Damage -----------------------------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def flip(path: Path) -> None:
    found = bytearray(path.read_bytes())
    found[len(found) // 2] ^= 0x11
    path.write_bytes(found)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, grow, flip, remove, empty])
@pytest.mark.parametrize("name", ["texts.bin", "documents.bin", "signatures.bin", "progress.json", "part.json"])
def test_damaged_files_are_named(three: list[Path], tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    parts = [Path(shutil.copytree(part, tmp_path / part.name)) for part in three]
    damage(parts[1] / name)
    failed = mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data", code=65)
    assert "part-1" in failed.err and not (tmp_path / "data").exists(), failed.err
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    if name == "texts.bin" and damage is cut:
        assert "texts.bin: cut short: expected" in failed.err


# What each key of part.json is replaced by: nothing of it may be a crash.
WRONG: list[object] = [None, -1, 2**62, 1e300, "x", [], {}, [None], True]


@pytest.mark.parametrize("key", ["format", "version", "part", "of", "fingerprint", "inputs", "options", "sha256"])
def test_a_part_json_that_says_nonsense(three: list[Path], tmp_path: Path, key: str) -> None:
    parts = [Path(shutil.copytree(part, tmp_path / part.name)) for part in three]
    path = parts[0] / "part.json"
    right = json.loads(path.read_text())
    for wrong in WRONG:
        path.write_text(json.dumps({**right, key: wrong}))
        refused("--merge", *parts, "--out", tmp_path / "data", saying=("part-0",))


def hashed(part: Path, name: str) -> None:
    """Makes part.json agree with a file that was changed on purpose."""
    path = part / "part.json"
    right = json.loads(path.read_text())
    right["sha256"][name] = hashlib.sha256((part / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(right))


@pytest.mark.parametrize("key", ["unit", "raw_documents", "complete", "documents", "bytes", "tallies", "examples"])
def test_a_progress_json_that_says_nonsense(three: list[Path], tmp_path: Path, key: str) -> None:
    parts = [Path(shutil.copytree(part, tmp_path / part.name)) for part in three]
    path = parts[2] / "progress.json"
    right = json.loads(path.read_text())
    for wrong in WRONG:
        path.write_text(json.dumps({**right, key: wrong}))
        hashed(parts[2], "progress.json")
        # Numbers that nobody reads any more, and no examples, are no damage.
        mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data", code=(0, 65))
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
    path.write_text(json.dumps({**right, "tallies": [{"files": 2**56, "dropped.x": 2**56, "documents_in": 2**56}] * 2}))
    hashed(parts[2], "progress.json")
    mayfly("prepare", "--merge", *parts, "--out", tmp_path / "data")


def test_records_that_cannot_be(three: list[Path], tmp_path: Path) -> None:
    parts = [Path(shutil.copytree(part, tmp_path / part.name)) for part in three]
    path = parts[1] / "documents.bin"
    right = path.read_bytes()
    # A length, and the number of a file.
    for field in (0, 40):
        for wrong in (0, 2, 2**31, 2**62, 2**63, 2**64 - 1):
            changed = bytearray(right)
            changed[48 + field : 56 + field] = wrong.to_bytes(8, "little")
            path.write_bytes(changed)
            hashed(parts[1], "documents.bin")
            refused("--merge", *parts, "--out", tmp_path / "data", saying=("part-1/documents.bin: document",))


# --- Seeds ------------------------------------------------------------------------------------------------------------


def test_a_seed_gives_another_split_that_comes_again(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    texts = [f"{index} {prose(60, seed=index)}" for index in range(2_000)]
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    split = ("--vocab-size", 300, "--val-fraction", 0.2, "--test-fraction", 0.1)
    outs = {}
    for name, seed in (("none", None), ("0", 0), ("1", 1), ("1again", 1), ("2", 2)):
        option = () if seed is None else ("--seed", seed)
        mayfly("prepare", source, "--out", tmp_path / name, *split, *option)
        outs[name] = content(tmp_path / name)
    assert outs["none"] == outs["0"] and outs["1"] == outs["1again"]
    assert len({outs[name]["val-00000.bin"] for name in ("0", "1", "2")}) == 3
    for name in ("0", "1", "2"):
        summary = json.loads(outs[name]["dataset.json"])
        # Three standard deviations of a share of 2,000 are 54 and 40 documents.
        assert abs(summary["documents"]["val"] - 400) < 54 and abs(summary["documents"]["test"] - 200) < 41
        assert summary["split"].get("seed", 0) == int(name)
    assert b"and the seed 1" in outs["1"]["report.html"] and b"the seed" not in outs["0"]["report.html"]


def test_a_seed_changes_nothing_of_the_cleaning(tmp_path: Path) -> None:
    source = large(tmp_path / "a.jsonl")
    kill_while_cleaning(source, tmp_path / "out", "--vocab-size", 300)
    done = mayfly("prepare", source, "--out", tmp_path / "out", "--vocab-size", 300, "--seed", 3)
    assert "going on where an earlier run was stopped" in done.err


@pytest.mark.parametrize("seed", ["-1", "x", str(2**64), "1.5"])
def test_a_seed_that_cannot_be(tmp_path: Path, seed: str) -> None:
    refused(tmp_path, "--out", tmp_path / "data", f"--seed={seed}", code=64, saying=("--seed",))


# --- Slurm ------------------------------------------------------------------------------------------------------------

# Runs jobs where it is called, in their order, as a cluster would: the script from a copy, with the variables of Slurm.
SBATCH = r"""#!/usr/bin/env bash
set -u
state=$(dirname "$0")
number=$(($(cat "$state/last" 2>/dev/null || echo 100) + 1))
echo "$number" > "$state/last"
printf '%s\n' "$*" >> "$state/calls"
array='' after='' output=/dev/null cores=''
for argument in "$@"; do
  case $argument in
    --array=*) array=${argument#*=} ;;
    --dependency=afterok:*) after=${argument##*:} ;;
    --output=*) output=${argument#*=} ;;
    --cpus-per-task=*) cores=${argument#*=} ;;
  esac
done
mkdir -p "$state/spool"
cat > "$state/spool/$number"
head -n 1 "$state/spool/$number" | grep -q '^#!' || { echo "no script" >&2; exit 1; }
echo "$number;cluster"
[ -z "$cores" ] || export SLURM_CPUS_PER_TASK=$cores
if [ -n "$after" ] && [ ! -e "$state/done-$after" ]; then exit 0; fi
ok=yes
for task in $(if [ -n "$array" ]; then seq "${array%-*}" "${array#*-}"; else echo none; fi); do
  [ "$task" = none ] || export SLURM_ARRAY_TASK_ID=$task
  (cd / && cd "$SUBMITTED" && bash "$state/spool/$number") > "${output//%a/$task}" 2>&1 || ok=no
done
[ "$ok" = no ] || touch "$state/done-$number"
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Calls Scripts/prepare-slurm in the test's folder, with a cluster that is this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(SBATCH)
    (folder / "sbatch").chmod(0o755)

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "MAYFLY": str(MAYFLY), "SUBMITTED": str(tmp_path)}
        return subprocess.run(
            [ROOT / "Scripts/prepare-slurm", *map(str, arguments)], cwd=tmp_path, env=environment, capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=600)

    return call


def test_slurm_cleans_parts_and_merges_them(
    slurm: Callable[..., subprocess.CompletedProcess[str]], inputs: tuple[Path, Path], whole: dict[str, bytes],
    tmp_path: Path
) -> None:
    # Names with a space and a quote, and paths that begin where it is called.
    shutil.copytree(inputs[0], tmp_path / "in")
    shutil.copy(inputs[1], tmp_path / inputs[1].name)
    done = slurm(
        "--parts", 3, "--out", "my 'data'", "--sbatch", "--cpus-per-task=2 --mem=1G", "in", inputs[1].name, "--",
        *OPTIONS, "--memory", "1G")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "my 'data'"
    logs = {path.name: path.read_text() for path in (tmp_path / "my 'data'.parts" / "logs").iterdir()}
    assert sorted(logs) == ["merge.log", "part-0.log", "part-1.log", "part-2.log"] and out.exists(), logs
    assert content(out) == whole
    calls = (tmp_path / "bin" / "calls").read_text().splitlines()
    assert "--array=0-2" in calls[0] and "--mem=1G" in calls[0]
    assert "--dependency=afterok:101" in calls[1] and "--mem=1G" in calls[1]
    scripts = [(tmp_path / "bin" / "spool" / number).read_text() for number in ("101", "102")]
    assert "--dedupe near" in scripts[0] and "--dedupe" not in scripts[1] and "--memory 1G" in scripts[1]


def test_slurm_cleans_only_what_is_missing(
    slurm: Callable[..., subprocess.CompletedProcess[str]], inputs: tuple[Path, Path], whole: dict[str, bytes],
    three: list[Path], tmp_path: Path
) -> None:
    for part in (three[0], three[2]):
        shutil.copytree(part, tmp_path / "work" / part.name)
    done = slurm("--parts", 3, "--out", "data", "--work", "work", *inputs, "--", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "is there already" in (tmp_path / "work" / "logs" / "part-0.log").read_text()
    assert "part 1 of 3" in (tmp_path / "work" / "logs" / "part-1.log").read_text()
    assert content(tmp_path / "data") == whole
    assert slurm("--parts", 3, "--out", "data", *inputs).returncode == 73


def test_slurm_merges_nothing_where_a_part_fails(
    slurm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text("no json\n")
    assert slurm("--parts", 2, "--out", "data", "a.jsonl").returncode == 0
    assert not (tmp_path / "data").exists()
    assert "a.jsonl, line 1" in (tmp_path / "data.parts" / "logs" / "part-0.log").read_text()


def test_slurm_says_what_is_wrong(slurm: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    assert "Usage:" in slurm("--help").stdout
    (tmp_path / "a.txt").write_text("text")
    for arguments in (
        [], ["a.txt"], ["--parts", 2, "a.txt"], ["--out", "data", "a.txt"], ["--parts", 2, "--out", "data"],
        ["--parts", "x", "--out", "data", "a.txt"], ["--parts", 0, "--out", "data", "a.txt"], ["--parts"],
        ["--parts", 2, "--out", "data", "a.txt", "--dedupe", "near"],
    ):
        done = slurm(*arguments)
        assert done.returncode == 64 and done.stderr.startswith("prepare-slurm: "), (arguments, done.stderr)
    done = slurm("--parts", 2, "--out", "data", "b.txt")
    assert done.returncode == 65 and "b.txt: no such file" in done.stderr
