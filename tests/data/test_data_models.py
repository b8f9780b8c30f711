import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fewer.data import models
from fewer.data.efficientnet_lite import EfficientNetLite0
from fewer.errors import ModelError

BERT = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)


@pytest.fixture
def tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({word: i for i, word in enumerate(["[UNK]", "[PAD]", "a", "b", "c"])}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]")


@pytest.fixture
def llama(tmp_path, tokenizer):
    config = LlamaConfig(
        vocab_size=30, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    tokenizer.save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


def test_a_folder_loads_in_evaluation_mode_and_leaves_the_random_state_alone(llama, capfd):
    before = torch.random.get_rng_state()
    model, tokenizer = models.load_causal_lm(llama)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (model.dtype, model.training) == (torch.float32, False)
    assert tokenizer("a b c")["input_ids"] == [2, 3, 4]
    assert models.load_causal_lm(llama, dtype=torch.bfloat16)[0].dtype == torch.bfloat16
    assert capfd.readouterr().out == ""


def test_a_loaded_model_can_be_changed_without_changing_its_file(llama):
    model, _ = models.load_causal_lm(llama)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.zero_()
    assert models.load_causal_lm(llama)[0].model.layers[0].mlp.up_proj.weight.any()


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"\xff" * 100, lambda b: b""])
def test_damaged_weights_are_named(llama, damage):
    weights = llama / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged"):
        models.load_causal_lm(llama)


def test_a_damaged_configuration_is_a_model_error(llama):
    (llama / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        models.load_causal_lm(llama)


def test_missing_weights_are_refused_since_they_would_be_random(tmp_path, tokenizer):
    BertModel(BERT).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lacks .* tensors of a BertForMaskedLM"):
        models.load_masked_lm(tmp_path)


def test_a_folder_that_is_no_model_says_what_it_holds_and_what_is_allowed(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"it holds pytorch_model\.bin.*config\.json and \*\.safetensors"):
        models.load_causal_lm(tmp_path)
    with pytest.raises(ModelError, match="it is a single file"):
        models.load_causal_lm(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize("name", ["nothing", "./no/such", "a/b/c"])
def test_a_name_that_is_neither_known_nor_a_folder_nor_an_id_is_refused_without_asking_the_hub(name):
    with pytest.raises(ModelError, match=r"smollm2-135m.*no folder, and it has not the form owner/name"):
        models.load_causal_lm(name)


def test_a_known_model_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="splade-tiny is a masked language model, not a causal language model"):
        models.load_causal_lm("splade-tiny")
    with pytest.raises(ModelError, match=r"Allowed: efficientnet-lite0"):
        models.load_image_classifier("minilm")


def test_a_gguf_file_that_is_none_is_a_model_error_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.gguf").write_bytes(b"no gguf")
    with pytest.raises(ModelError, match=r"model\.gguf cannot be read as a GGUF"):
        models.load_causal_lm(tmp_path / "own")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix != ".lock" and path.name != "converted"]


def test_a_model_that_differs_from_its_sum_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "efficientnet-lite0"
    folder.mkdir()
    (folder / "efficientnet-lite0-57934424.pth").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="expected 579344248a93"):
        models.load_image_classifier(models=tmp_path)
    assert not models.is_available("efficientnet-lite0", tmp_path)
    assert not models.is_available("no such model")


def test_a_sentence_vector_is_the_mean_over_its_own_tokens_whatever_it_is_batched_with(tmp_path, tokenizer):
    BertForMaskedLM(BERT).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    encoder = models.load_sentence_encoder(tmp_path)
    texts = ["a b c a b c", "b", "c a"]
    together, alone = encoder.encode(texts), torch.cat([encoder.encode([one]) for one in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    states = encoder.model(**tokenizer("c a", return_tensors="pt")).last_hidden_state[0].mean(0)
    torch.testing.assert_close(together[2], torch.nn.functional.normalize(states, dim=0).detach(), atol=1e-5, rtol=1e-5)


def test_efficientnet_halves_the_side_five_times_rounding_up():
    net = EfficientNetLite0().eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 65, 33)).shape == (1, 1000)
        assert net._conv_stem(torch.zeros(1, 3, 65, 33)).shape == (1, 32, 33, 17)


def test_the_hub_serves_a_known_model_when_its_wheel_cannot_be_had(llama, tmp_path, monkeypatch):
    monkeypatch.setenv("FEWER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.delenv("FEWER_MODELS", raising=False)
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda id, **_: asked.append(id) or str(llama))
    assert models.get("smollm2-135m").source == "hub"
    assert models.load_causal_lm("smollm2-135m")[0].config.hidden_size == 8
    assert set(asked) == {"HuggingFaceTB/SmolLM2-135M-Instruct"}


def known_model(name: str) -> None:
    if not models.is_available(name):
        pytest.skip(f"{name} is neither here nor to be downloaded")


def test_smollm2_knows_the_capital_of_france():
    known_model("smollm2-135m")
    model, tokenizer = models.load_causal_lm("smollm2-135m")
    with torch.no_grad():
        logits = model(**tokenizer("The capital of France is", return_tensors="pt")).logits
    assert tokenizer.decode(logits[0, -1].argmax()) == " Paris"
    assert not hasattr(model.config, "quantization_config")


def test_splade_weighs_the_words_of_a_sentence():
    known_model("splade-tiny")
    model, tokenizer = models.load_masked_lm()
    with torch.no_grad():
        logits = model(**tokenizer("the capital of France is Paris", return_tensors="pt")).logits
    weights = logits.relu().log1p().amax(1)[0]
    assert tokenizer.convert_ids_to_tokens(weights.topk(3).indices.tolist()) == ["capital", "paris", "france"]


def test_minilm_puts_like_sentences_near_each_other():
    known_model("minilm")
    cat, kitten, stocks = models.load_sentence_encoder().encode(["a cat sits", "a kitten is seated", "stock prices fell"])
    assert cat @ kitten > 0.6 > 0.3 > cat @ stocks


def test_efficientnet_has_its_published_weights():
    known_model("efficientnet-lite0")
    net = models.load_image_classifier()
    assert sum(weight.numel() for weight in net.parameters()) == 4_652_008
    assert not net.training
