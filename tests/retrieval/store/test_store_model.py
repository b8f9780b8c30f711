"""Whatever is done to a store, in any order, it holds what a dictionary holds."""

import shutil
import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from small_store import ASK_ALL, DIMENSION, add, create, everything

from fewer.retrieval.store.store import Store

IDS = st.sampled_from([*"abcdefgh", "ä/..", "\N{SNOWMAN}"])
VALUES = st.integers(1, 64).map(lambda number: number / 8)
ROWS = st.dictionaries(st.integers(0, DIMENSION - 1), VALUES, max_size=4)


class StoreAndModel(RuleBasedStateMachine):
    @initialize(sealed_at=st.sampled_from([1, 3, 1024]))
    def begin(self, sealed_at):
        import fewer.retrieval.store.store as module

        self.module, self.before = module, module.SEALED_AT
        module.SEALED_AT = sealed_at
        self.folder = tempfile.mkdtemp()
        self.store = create(self.folder)
        self.model = {}

    @rule(documents=st.dictionaries(IDS, ROWS, max_size=4))
    def add(self, documents):
        add(self.store, documents)
        self.model |= documents

    @rule(ids=st.lists(IDS, unique=True, max_size=4))
    def delete(self, ids):
        assert self.store.delete(ids) == sum(self.model.pop(name, None) is not None for name in ids)

    @rule()
    def merge(self):
        self.store.merge()
        assert self.store.describe()["segments"] == (len(self.model) > 0)

    @rule()
    def reopen(self):
        self.store.close()
        self.store = Store.open(self.folder)

    @rule()
    def crash(self):
        """Nothing is closed in order but the lock, as when a process dies."""
        if self.store._background is not None:
            self.store._background.join()
        self.store._lock.release()
        self.store = Store.open(self.folder)

    @invariant()
    def holds_what_the_model_holds(self):
        if not hasattr(self, "store"):
            return
        sums = {name: sum(row.values()) for name, row in self.model.items()}
        assert len(self.store) == len(sums)
        assert everything(self.store) == {name: total for name, total in sums.items() if total}
        if sums:
            best = [match.score for match in self.store.search(ASK_ALL, min(2, len(sums)))[0]]
            assert best == sorted((total for total in sums.values() if total), reverse=True)[:2]
            name = min(sums)
            found = self.store.document(name)
            assert found.text == name
            assert dict(zip(found.components.tolist(), found.values.tolist(), strict=True)) == self.model[name]

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)
            self.module.SEALED_AT = self.before


TestStoreAndModel = StoreAndModel.TestCase
TestStoreAndModel.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
