"""CIFF, JSONL and CSR: written, read back, damaged."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewer.errors import FewerError, IndexFileError, RetrievalError, VectorError
from fewer.retrieval.formats.ciff import read_ciff, write_ciff
from fewer.retrieval.formats.csr import read_csr, write_csr
from fewer.retrieval.formats.jsonl import read_jsonl, write_jsonl
from fewer.retrieval.formats.named import NamedVectors
from fewer.retrieval.vectors import SparseVectors

here = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
impacts = st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 2**24), max_size=8), max_size=300)


def rows(named):
    """What it says, whatever the terms are numbered: {id: {term: value}}."""
    found = {}
    for number, name in enumerate(named.ids):
        components, values = named.vectors.row(number)
        found[name] = {named.terms[c]: float(v) for c, v in zip(components, values, strict=True)}
    return found


def named(table, texts=()):
    ids = [f"é-{number}" for number in range(len(table))]
    return NamedVectors(SparseVectors.from_rows(table, 10), ids, [f"term {n}" for n in range(10)], texts)


@here
@given(table=impacts)
def test_ciff_gives_back_what_was_written(tmp_path, table):
    given_vectors = named(table)
    assert rows(read_ciff(write_ciff(tmp_path / "x.ciff", given_vectors, unit=1.0))) == rows(given_vectors)


@here
@given(table=st.lists(st.dictionaries(st.integers(0, 9), st.floats(2**-10, 1000, width=32), max_size=8), max_size=30))
def test_jsonl_and_csr_give_back_every_bit(tmp_path, table):
    given_vectors = named(table, [f"text\n{n} ü" for n in range(len(table))])
    for dialect in ("anserini", "seismic"):
        again = read_jsonl(write_jsonl(tmp_path / "x.jsonl", given_vectors, dialect))
        assert rows(again) == rows(given_vectors) and list(again.texts) == list(given_vectors.texts)
    back = read_csr(write_csr(tmp_path / "x.csr", given_vectors.vectors))
    for name in ("starts", "components", "values"):
        assert (getattr(back, name) == getattr(given_vectors.vectors, name)).all()


def test_ciff_is_what_protobuf_reads(tmp_path):
    """Against google's own reader and writer, from the published message definitions."""
    pytest.importorskip("google.protobuf")
    messages = _messages()
    written = write_ciff(tmp_path / "x.ciff", named([{0: 3, 4: 300}, {}, {4: 70000}]), unit=1.0).read_bytes()
    header, lists, records = _parsed(messages, written)
    assert (header.version, header.num_postings_lists, header.num_docs, header.total_docs) == (1, 2, 3, 3)
    assert header.total_terms_in_collection == 70303 and header.average_doclength == pytest.approx(70303 / 3)
    assert [(x.term, x.df, x.cf, [(p.docid, p.tf) for p in x.postings]) for x in lists] == [
        ("term 0", 1, 3, [(0, 3)]),
        ("term 4", 2, 70300, [(0, 300), (2, 70000)]),
    ]
    assert [(x.docid, x.collection_docid, x.doclength) for x in records] == [(0, "é-0", 303), (1, "é-1", 0), (2, "é-2", 70000)]
    (tmp_path / "y.ciff").write_bytes(b"".join(_framed(x) for x in (header, *lists, *reversed(records))))
    assert rows(read_ciff(tmp_path / "y.ciff")) == rows(read_ciff(tmp_path / "x.ciff"))


def _messages():
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="ciff.proto", package="ciff", syntax="proto3")
    kinds = {"int32": 5, "int64": 3, "double": 1, "string": 9}
    shapes = {
        "Header": "int32 version|int32 num_postings_lists|int32 num_docs|int32 total_postings_lists|int32 total_docs|"
        "int64 total_terms_in_collection|double average_doclength|string description",
        "Posting": "int32 docid|int32 tf",
        "PostingsList": "string term|int64 df|int64 cf|Posting postings",
        "DocRecord": "int32 docid|string collection_docid|int32 doclength",
    }
    for name, shape in shapes.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(shape.split("|"), 1):
            kind, called = field.split()
            if kind in kinds:
                message.field.add(name=called, number=number, type=kinds[kind], label=1)
            else:
                message.field.add(name=called, number=number, type=11, label=3, type_name=f".ciff.{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ciff.{name}")) for name in shapes}


def _parsed(messages, data):
    from google.protobuf.internal.decoder import _DecodeVarint32

    at = 0

    def read(kind):
        nonlocal at
        length, at = _DecodeVarint32(data, at)
        found = messages[kind].FromString(data[at : at + length])
        at += length
        return found

    header = read("Header")
    lists = [read("PostingsList") for _ in range(header.num_postings_lists)]
    records = [read("DocRecord") for _ in range(header.num_docs)]
    assert at == len(data)
    return header, lists, records


def _framed(message):
    from google.protobuf.internal.encoder import _VarintBytes

    content = message.SerializeToString()
    return _VarintBytes(len(content)) + content


def test_without_a_unit_the_largest_impact_is_255(tmp_path):
    again = read_ciff(write_ciff(tmp_path / "x.ciff", named([{0: 5.1, 1: 0.001}, {2: 2.5}])))
    assert rows(again) == {"é-0": {"term 0": 255, "term 1": 1}, "é-1": {"term 2": 125}}


@pytest.mark.parametrize("suffix", ["ciff", "csr"])
def test_a_file_cut_anywhere_is_an_error_with_its_place(tmp_path, suffix):
    given_vectors = named([{0: 3, 4: 300}, {}, {4: 70000, 5: 1}])
    path = tmp_path / f"x.{suffix}"
    whole = (write_ciff(path, given_vectors, 1.0) if suffix == "ciff" else write_csr(path, given_vectors.vectors)).read_bytes()
    read = read_ciff if suffix == "ciff" else read_csr
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(IndexFileError):
            read(path)
    path.write_bytes(whole + b"\x00")
    with pytest.raises(IndexFileError, match="byte"):
        read(path)


@pytest.mark.parametrize("suffix", ["ciff", "csr", "jsonl"])
@here
@given(data=st.data())
def test_a_changed_byte_is_an_error_or_another_index_but_never_a_crash(tmp_path, suffix, data):
    given_vectors = named([{0: 3, 4: 300}, {}, {4: 70000, 5: 1}])
    path = tmp_path / f"x.{suffix}"
    if suffix == "csr":
        write_csr(path, given_vectors.vectors)
    else:
        write_ciff(path, given_vectors, 1.0) if suffix == "ciff" else write_jsonl(path, given_vectors)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole)
    with contextlib.suppress(FewerError):
        {"ciff": read_ciff, "csr": read_csr, "jsonl": read_jsonl}[suffix](path)


@pytest.mark.parametrize(
    "line",
    ["", "[1]", "{", '{"id": 1}', '{"vector": {}}', '{"id": "a", "vector": {"x": -1}}', '{"id": "a", "vector": {"x": NaN}}',
     '{"id": "a", "vector": {"x": "1"}}', '{"id": "a", "vector": {"x": true}}', '{"id": "a", "vector": {"x": Infinity}}',
     '{"id": "a", "vector": {"x": 1e300}}', '{"id": "a", "contents": 3, "vector": {}}', '{"id": "0", "vector": {}}',
     "[" * 100000],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "0", "vector": {"a": 1}}\n' + line + "\n")
    if not line:
        assert len(read_jsonl(path).ids) == 1
    else:
        with pytest.raises(IndexFileError, match="line 2"):
            read_jsonl(path)


def test_given_terms_number_the_components(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"id": 7, "content": "t", "vector": {"b": 1, "a": 2.5, "c": 0}}))
    found = read_jsonl(path, ["c", "a", "b"])
    assert found.vectors.components.tolist() == [1, 2] and found.ids == ["7"] and found.texts == ["t"]
    with pytest.raises(IndexFileError, match="'b'"):
        read_jsonl(path, ["a", "c"])


def test_csr_sorts_what_is_not_sorted_and_refuses_negative_values(tmp_path):
    path = tmp_path / "x.csr"

    def write(components, values):
        parts = [([1, 5, 2], "<i8"), ([0, 2], "<i8"), (components, "<i4"), (values, "<f4")]
        path.write_bytes(b"".join(np.array(part, kind).tobytes() for part, kind in parts))

    write([3, 1], [0.5, 2])
    assert read_csr(path).components.tolist() == [1, 3] and read_csr(path).values.tolist() == [2, 0.5]
    for components, values, error in (
        ([3, 1], [-1, 2], VectorError),
        ([3, 3], [1, 1], VectorError),
        ([3, 5], [1, 1], IndexFileError),
    ):
        write(components, values)
        with pytest.raises(error):
            read_csr(path)


def test_names_must_fit_the_vectors(tmp_path):
    vectors = SparseVectors.from_rows([{0: 1.0}, {1: 2.0}], 2)
    for ids, terms, texts in (
        (["a"], ["x", "y"], ()),
        (["a", "a"], ["x", "y"], ()),
        (["a", "b"], ["x", "x"], ()),
        (["a", "b"], ["x", "y"], ["t"]),
    ):
        with pytest.raises(VectorError):
            NamedVectors(vectors, ids, terms, texts)
    fine = NamedVectors(vectors, ["a", "b"], ["x", "y"])
    for unit in (0.0, -1.0, float("nan"), 1e-12):
        with pytest.raises(RetrievalError, match="unit"):
            write_ciff(tmp_path / "x", fine, unit)
