import pytest
from running_server import make_index


@pytest.fixture(scope="session")
def animals(tmp_path_factory):
    """A folder of two indexes: `animals` with dense vectors of a stand-in encoder, and `plain` without."""
    folder = tmp_path_factory.mktemp("indexes")
    make_index(folder / "animals")
    make_index(folder / "plain", dense=False)
    return folder
