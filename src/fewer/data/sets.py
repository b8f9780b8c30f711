"""The data sets that fewer knows by name. Those with files come from the user's folder, the cache, or the public place."""

from fewer.data.entry import Entry
from fewer.data.files import File
from fewer.data.sources import Embedded, Public

_RAW = "https://raw.githubusercontent.com/"

_ENTRIES = (
    Entry(
        name="wikitext2",
        kind="text",
        about="valid + test parts, word-tokenised, 455k words; valid is calibration and train",
        licence="CC BY-SA",
        files=(
            File("wikitext2/valid.txt.gz", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8", 373158),
            File("wikitext2/test.txt.gz", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0", 410674),
        ),
        sources=(
            Public(_RAW + "pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/word_language_model/data/wikitext-2/"),
        ),
    ),
    Entry(
        name="tinyshakespeare",
        kind="text",
        about="1,115,394 characters of plays; the first 90% is calibration and train",
        licence="public domain; repository MIT",
        files=(File("tinyshakespeare/input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed", 1115394),),
        sources=(Public(_RAW + "karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/"),),
    ),
    Entry(
        name="mnist-10k",
        kind="images",
        about="the 10,000 MNIST test digits, 28x28; rows 0-7,999 train, the rest test",
        licence="CC BY-SA 3.0 as commonly given",
        files=(
            File(
                "mnist-10k/t10k-images-idx3-ubyte.gz",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                1648877,
            ),
            File(
                "mnist-10k/t10k-labels-idx1-ubyte.gz", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 4542
            ),
        ),
        sources=(
            Public(
                _RAW + "mnhng/CoPA/a2b2efd3920119dcc3ed40d9015581265bdfc128/data/mnist/",
                {
                    "mnist-10k/t10k-images-idx3-ubyte.gz": "t10k-images-idx3-ubyte.gz",
                    "mnist-10k/t10k-labels-idx1-ubyte.gz": "t10k-labels-idx1-ubyte.gz",
                },
            ),
        ),
    ),
    Entry(
        name="fashion-mnist-900",
        kind="images",
        about="900 of 28x28, 90 a class; 675 train, 225 test",
        licence="MIT",
        files=(
            File(
                "fashion-mnist-900/fashion900.npz", "2547a18b9b5136d55c9492bf046028527a8f1ee84e9620916801f38bb632cc2b", 382088
            ),
        ),
    ),
    Entry(
        name="cifar10-6k",
        kind="images",
        about="5,000 + 1,000 of 32x32 RGB",
        licence="none stated; research by custom, with citation",
        files=(File("cifar10-6k/cifar10-6k.zip", "992b779f24ac49a462524471cadb09919791f6ecfe9d1a2bae86b62af83bf8e5", 6218158),),
    ),
    Entry(
        name="cifar10",
        kind="images",
        about="50,000 + 10,000 of 32x32 RGB",
        licence="none stated; research by custom, with citation",
        # Kept packed, and not called .gz, since the sum that is known is that of the archive.
        files=(
            File("cifar10/cifar-10-binary.tgz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170052171),
        ),
        sources=(Public("https://www.cs.toronto.edu/~kriz/", {"cifar10/cifar-10-binary.tgz": "cifar-10-binary.tar.gz"}),),
    ),
    Entry(
        name="agnews-7k6",
        kind="sentences",
        about="7,600 news articles, 4 topics; 5,600 train, 2,000 test",
        licence="research, non-commercial",
        files=(File("agnews-7k6/agnews.csv.gz", "72b844642f92fb74fe397f0d1dd8a46d4cfd6fff60bc5c1a214fe40c44708fd7", 750510),),
        sources=(
            Public(
                _RAW + "madhubandru/Text-Classification-on-News-Articles-using-BERT-Framework/"
                "082f2db7c08a8fa3e19c46df0b4b5b0a5f81d1cd/ag_news_csv/",
                {"agnews-7k6/agnews.csv.gz": "test.csv"},
            ),
        ),
    ),
    Entry(
        name="banking77",
        kind="sentences",
        about="10,003 + 3,080 customer questions, 77 intents",
        licence="CC BY 4.0",
        files=(
            File("banking77/train.csv.gz", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b", 156977),
            File("banking77/test.csv.gz", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d", 50860),
            File("banking77/categories.json", "53261da888122daf2d120d925458631d9619e15d82e56052e7a42e535ce32b63", 2036),
        ),
        sources=(Public(_RAW + "PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data/"),),
    ),
    Entry(
        name="rt-polarity",
        kind="sentences",
        about="5,331 + 5,331 film-review sentences; 8,662 train, 2,000 test",
        licence="CC BY 4.0",
        files=(
            File("rt-polarity/pos.txt.gz", "c2dc6b2f55bcf725725372916287cc3f8f9b19402edaa9167de5287cb3ade421", 244205),
            File("rt-polarity/neg.txt.gz", "614274f81185a850e5a88d533d4679f916d6f62e9af6f0b4ec71fb94bf466ea5", 241684),
        ),
        sources=(
            Public(
                _RAW + "nltk/nltk_data/5db857e6f7df11eabb5e5665836db9ec8df07e28/packages/corpora/",
                {
                    "rt-polarity/pos.txt.gz": "sentence_polarity.zip!sentence_polarity/rt-polarity.pos",
                    "rt-polarity/neg.txt.gz": "sentence_polarity.zip!sentence_polarity/rt-polarity.neg",
                },
            ),
        ),
    ),
    Entry(
        name="sentiment-sentences",
        kind="sentences",
        about="3 x 1,000 review sentences; amazon and imdb train, yelp test",
        licence="citation; CC BY 4.0",
        files=(
            File(
                "sentiment-sentences/amazon_cells_labelled.txt",
                "47003fc0a0d4840b00e96e715b6189bad09e7443a3da41c4cbe12ffc79f86ae3",
                58226,
            ),
            File(
                "sentiment-sentences/imdb_labelled.txt",
                "c662b9360c1652babb990d164835af12aa105db7991f1fdb19038115f0e93de8",
                85187,
            ),
            File(
                "sentiment-sentences/yelp_labelled.txt",
                "b565b1eeb864d76842588c3a256731b08bcdd9faf6de507bfe211a96f8b81912",
                61293,
            ),
        ),
        sources=(
            Public(_RAW + "kvrao/sentiment_analysis/462f7304ab341f1b5014e6eae56100bfe35d703a/sentiment labelled sentences/"),
        ),
    ),
    Entry(
        name="movielens-small",
        kind="ratings",
        about="100,836 ratings, 610 users, 9,742 films",
        licence="research, non-commercial; may be passed on under the same terms",
        files=(
            File("movielens-small/ratings.csv.gz", "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646", 684249),
            File("movielens-small/movies.csv.gz", "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07", 166253),
            File("movielens-small/tags.csv.gz", "92a9f8bb7916dceef6151209845788c3643f794dfa79d1feaec7121b5960399d", 36281),
            File("movielens-small/links.csv.gz", "97ad18e4e56a09363c65676b6cb3482ce3e2cea2372a24620c1599c843325f31", 87128),
        ),
        sources=(
            Public(_RAW + "hasstariq/Collaborative-Filltering-/02202ae65f474026d8fedcdd87b4e7c60ef13cc4/ml-latest-small/"),
        ),
    ),
    Entry(
        name="nsl-kdd",
        kind="table",
        about="25,192 train + 11,850 hard test connections, 41 features",
        licence="none stated; citation",
        files=(
            File("nsl-kdd/train20.txt.gz", "7ea86479faab5ca2190b7f18b4982fb058ce5bf2b46e0e1017d0d9ef90f9c16e", 410194),
            File("nsl-kdd/test21.txt.gz", "746993ac9e25868827cacf09eab450050a2a1056e1ce48a1ad39f5dc801d531d", 198239),
            File("nsl-kdd/fields.csv", "e6ce1b1f35966a203209433fd98f88eeb6f5d37f7fb3194aa20d9935b8f9e9d3", 1050),
        ),
        sources=(
            Public(
                _RAW + "defcom17/NSL_KDD/27bbbdf5c5cccf9970b8b6037a0f19dc09c5a0a9/",
                {
                    "nsl-kdd/train20.txt.gz": "KDDTrain+_20Percent.txt",
                    "nsl-kdd/test21.txt.gz": "KDDTest-21.txt",
                    "nsl-kdd/fields.csv": "Field Names.csv",
                },
            ),
        ),
    ),
    Entry(
        name="nsl-kdd-test",
        kind="table",
        about="25,192 train + 22,544 test connections, 41 features",
        licence="none stated; citation",
        files=(
            File("nsl-kdd/train20.txt.gz", "7ea86479faab5ca2190b7f18b4982fb058ce5bf2b46e0e1017d0d9ef90f9c16e", 410194),
            File("nsl-kdd-test/KDDTest+.txt.gz", "fa46b0935342616aa83b7c2578db355b6a7aaabbc492248172c7a1e8b7ab8f84", 373913),
            File("nsl-kdd/fields.csv", "e6ce1b1f35966a203209433fd98f88eeb6f5d37f7fb3194aa20d9935b8f9e9d3", 1050),
        ),
        sources=(
            Public(
                _RAW + "defcom17/NSL_KDD/27bbbdf5c5cccf9970b8b6037a0f19dc09c5a0a9/",
                {
                    "nsl-kdd/train20.txt.gz": "KDDTrain+_20Percent.txt",
                    "nsl-kdd-test/KDDTest+.txt.gz": "KDDTest+.txt",
                    "nsl-kdd/fields.csv": "Field Names.csv",
                },
            ),
        ),
    ),
    Entry(
        name="cranfield",
        kind="retrieval",
        about="1,400 abstracts, 225 queries, 1,837 judgements",
        licence="none stated; free for research by custom",
        files=(
            File("cranfield/docs.jsonl.gz", "b9d596f33b301ce8c1e979fa3499a0978028c2d13a716c636e53f7d89802712e", 429818),
            File("cranfield/queries.jsonl", "83f9b14b9ec12c271e5d4176a44e196a2a2209d84946836e62009c6b97ec7ad5", 36384),
            File("cranfield/qrels.tsv", "80df84493ee40e346a03573ea9096b66a85b65fc49b8ff44902fdd428da3216f", 17731),
        ),
    ),
    Entry(
        name="cisi",
        kind="retrieval",
        about="1,460 documents, 112 queries, 3,114 judgements",
        licence="none stated; free for research by custom",
        files=(
            File("cisi/docs.jsonl.gz", "e58ff618570ba5862a18e5299c4ef05a1b0bc99e2e6efcdaff9d7f634cb578af", 413855),
            File("cisi/queries.jsonl", "bd87cd0d177b196a90b82ea7c959462d223502f0c1620bcdc7b825243d0a13aa", 62818),
            File("cisi/qrels.tsv", "5f27858141cdc250c28d6b8b12920eff924e516f3a3dc3b7fead423f7c5687fb", 28374),
        ),
    ),
    Entry(
        name="walmart-amazon",
        kind="retrieval",
        about="22,074 products, 2,554 queries (853 judged)",
        licence="repository Apache-2.0; research benchmark",
        files=(
            File(
                "product-match/walmart-amazon.docs.jsonl.gz",
                "a88e8d49cf974f2c25bfe1e384ca6ec46efaa310691b42fc3195990df95945b1",
                908167,
            ),
            File(
                "product-match/walmart-amazon.queries.jsonl.gz",
                "7fbc5ec6900e0d9b406181db5efe780aa8e2cf6f692881c779b9cfe260c830c5",
                90064,
            ),
            File(
                "product-match/walmart-amazon.qrels.tsv",
                "e325cea5956ee26d73d6934c32f100e4636e8d6db25847aae16f36745e5c1c6f",
                10336,
            ),
        ),
    ),
    Entry(
        name="google-amazon",
        kind="retrieval",
        about="1,354 products, 3,039 queries (1,103 judged)",
        licence="repository Apache-2.0; research benchmark",
        files=(
            File(
                "product-match/google-amazon.docs.jsonl.gz",
                "38adbb6a4680e34416c643376ee8d0c8ba5078f3f7d507dff3f23a282e59b143",
                28395,
            ),
            File(
                "product-match/google-amazon.queries.jsonl.gz",
                "bd0815e2438f19fdac53df7e0d3f0c45dbf4d44e494e37b56f41f614cc224215",
                69772,
            ),
            File(
                "product-match/google-amazon.qrels.tsv",
                "94a228801eae4ac01dcab628fd77b6f5f2307ccd69054865729e5e5cc923803b",
                11853,
            ),
        ),
    ),
    Entry(
        name="abt-buy",
        kind="retrieval",
        about="1,076 products, 1,076 queries",
        licence="repository Apache-2.0; research benchmark",
        files=(
            File(
                "product-match/abt-buy.docs.jsonl.gz", "54639a28d10b46ba25a0f4c67f78039a38ce6926b299dbedad085678e3dc01b9", 23486
            ),
            File(
                "product-match/abt-buy.queries.jsonl.gz",
                "04a3b8ddee60387b75cc4c1c2c94a66fb9a60dc290af45feb87a0ec3429d0a5a",
                22471,
            ),
            File("product-match/abt-buy.qrels.tsv", "6947e0f8169b1d5dc66163ba7d22966e01c9ec8601320d44733a7adbedd36f20", 10718),
        ),
    ),
    Entry(
        name="cora",
        kind="graph",
        about="2,708 papers, 1,433 words, 7 classes, 5,278 links",
        licence="repository MIT",
        files=(
            File("cora/nodes.tsv.gz", "5b5ee59b7676619b64ce3c68119c456a1382bfffa46e8fded45cff53fa683254", 80776),
            File("cora/edges.tsv.gz", "a6cafe6abd12b83df937f643562bbc019baa15938937937b63dd59e419e7030c", 18136),
        ),
    ),
    Entry(
        name="ibims1-sparse",
        kind="depth",
        about="100 indoor photographs, 100 depth labels each",
        licence="CC BY-NC 4.0 (source repository)",
        files=(
            File("ibims1-sparse/labels.jsonl", "413e7ea9aeb1030d74ba3d74ddddf3bf46b4f455d04529026d5b5757101fa1e4", 210417),
            File("ibims1-sparse/rgb", "4598a4a366305b88f6c64a495d1bd563a8476afeb916f889211bd743cee212cf", 706749),
        ),
    ),
    Entry(
        name="dialseg711",
        kind="dialogues",
        about="711 spliced dialogues",
        licence="none stated; the authors' terms",
        files=(
            File(
                "dialogue-seg/dialseg711.jsonl.gz", "4c665afddf384b94576847061716fc1f99a500a9b4f3c421c4ba99cd5013c13b", 369640
            ),
        ),
    ),
    Entry(
        name="tiage",
        kind="dialogues",
        about="500 chats",
        licence="none stated; the authors' terms",
        files=(
            File("dialogue-seg/tiage.jsonl.gz", "e41e97e3c7369e09397e314ceb7a93ff37774022e7d6ddd32390f1654c8f9204", 148147),
        ),
    ),
    Entry(
        name="committee",
        kind="dialogues",
        about="36 parliament meetings",
        licence="none stated; the authors' terms",
        files=(
            File("dialogue-seg/committee.jsonl.gz", "d780fa42fcb155ace8babf321398ee7da9fac06fc0e9b88cef4c08672f125553", 923408),
        ),
    ),
    Entry(
        name="python-topics",
        kind="text",
        about="the Python language reference, 79 topics",
        licence="PSF-2.0",
        sources=(Embedded("pydoc_data.topics"),),
    ),
    Entry(
        name="python-docstrings",
        kind="retrieval",
        about="docstrings of the standard library; a summary line is the query, the rest its document",
        licence="PSF-2.0",
        sources=(Embedded("the standard library's source"),),
    ),
    Entry(
        name="digits",
        kind="images",
        about="1,797 of 8x8; 1,347 train, 450 test",
        licence="BSD; UCI: CC BY 4.0",
        sources=(Embedded("scikit-learn"),),
    ),
    Entry(
        name="sample-images",
        kind="photographs",
        about="2 photographs of 427x640",
        licence="CC BY",
        sources=(Embedded("scikit-learn"),),
    ),
    Entry(
        name="breast-cancer",
        kind="table",
        about="569 rows, 30 features, 2 classes",
        licence="UCI: CC BY 4.0",
        sources=(Embedded("scikit-learn"),),
    ),
    Entry(
        name="wine",
        kind="table",
        about="178 rows, 13 features, 3 classes",
        licence="UCI: CC BY 4.0",
        sources=(Embedded("scikit-learn"),),
    ),
)

SETS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""Every data set by name, in the order of `fewer data list`."""
