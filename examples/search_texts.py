"""Indexes a few notes with BM25, searches them, says why, and adds one more."""

from pathlib import Path

from fewer.retrieval.texts.build import build
from fewer.retrieval.texts.sources import read
from fewer.retrieval.texts.text_index import TextIndex

notes = Path("notes")
notes.mkdir(exist_ok=True)
(notes / "backups.md").write_text("Rotate the backup tapes every Monday. Old tapes go to the archive.", encoding="utf-8")
(notes / "coffee.md").write_text("Descale the coffee machine every month.", encoding="utf-8")

build(read(notes), Path("runs/notes-index"), encoder="bm25", dense=None, overwrite=True)

with TextIndex.open("runs/notes-index") as index:
    for hit in index.search("where are old backups").hits:
        why = index.explain("where are old backups", hit.id)
        print(f"{hit.title}: {hit.score:.2f} =", " + ".join(f"{m.contribution:.2f} ({m.term})" for m in why.terms))
    new = read(notes / "coffee.md").documents
    print("added:", index.add(new), "documents in all:", len(index))
