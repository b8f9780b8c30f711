"""The catalog of systems."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from fewer.catalog import system, systems
from fewer.errors import MethodError

SLUGS = [
    "abstopk",
    "anchor-attention",
    "biomass",
    "cast",
    "concepts",
    "dass",
    "depthlm",
    "dialogue-segmentation",
    "dsl-rec",
    "dsnot",
    "great-ape",
    "idf-flops",
    "imprecise-labels",
    "item-ssl",
    "lazy-neuron",
    "nimai",
    "patent-sdg",
    "person-search",
    "prf-interpolation",
    "progressive-gradient-flow",
    "prosper",
    "pst",
    "r-sparse",
    "random-pruning",
    "random-search",
    "rliv-ua",
    "robust-active-distillation",
    "seismic",
    "spark",
    "sparse-frontier",
    "sparse-ift",
    "sparse-jepa",
    "sparsed",
    "sparseloco",
    "ten-lessons",
    "tidaldecode",
    "unified-lsr",
]
DOMAINS = [
    "weights",
    "activations",
    "attention",
    "features",
    "retrieval",
    "labels",
    "vision",
    "recommend",
    "distributed",
    "compare",
]

each = pytest.mark.parametrize("entry", systems(), ids=lambda entry: entry.slug)


def test_it_holds_the_37_systems():
    assert len(systems()) == 37
    assert sorted(entry.slug for entry in systems()) == SLUGS


def test_it_is_grouped_by_domain_in_one_order():
    assert list(dict.fromkeys(entry.domain for entry in systems())) == DOMAINS
    order = [DOMAINS.index(entry.domain) for entry in systems()]
    assert order == sorted(order)


@each
def test_papers_have_an_arxiv_identifier_of_their_year(entry):
    assert re.fullmatch(r"\d{2}(0[1-9]|1[0-2])\.\d{5}", entry.paper)
    assert entry.year == 2000 + int(entry.paper[:2])


def test_no_two_systems_have_the_same_paper_or_title():
    assert len({entry.paper for entry in systems()}) == len({entry.title for entry in systems()}) == 37


@each
def test_phrases_are_short_and_there(entry):
    for phrase in (entry.score, entry.select, entry.apply, entry.schedule):
        assert 0 < len(phrase) < 90
        assert phrase == phrase.strip().rstrip(".")


@each
def test_the_summary_is_one_sentence(entry):
    assert re.fullmatch(r"[A-Z][^.]*\.", entry.summary)


def test_a_system_is_found_by_its_slug():
    assert system("dsnot").title.startswith("Dynamic Sparse No Training")


def test_an_unknown_slug_names_the_nearest():
    with pytest.raises(MethodError, match=r"no system 'Seizmic'\. Did you mean seismic\?"):
        system("Seizmic")
    with pytest.raises(MethodError, match="`fewer list` names all 37"):
        system("zzzzzz")


def test_the_status_follows_the_claim_files(monkeypatch, tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "prf_interpolation.py").touch()
    monkeypatch.setattr("fewer.catalog.files", lambda package: tmp_path)
    assert system("prf-interpolation").status == "ready"
    assert replace(system("dsnot"), slug="prf").status == "planned"


def test_reading_it_does_not_import_torch():
    code = "import sys; from fewer.catalog import systems; [s.status for s in systems()]; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
