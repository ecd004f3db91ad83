"""Hugging Face's models, of two narrow layers each, with every rate of dropout that their configurations have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from tests.zoo.architecture import Architecture, named, tokens
from torch import Tensor

VOCABULARY = 100
Settings = dict[str, Any]
Example = Callable[[], Mapping[str, Tensor]]

BLOCKS: Settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT: Settings = {"vocab_size": VOCABULARY, **BLOCKS}
HIDDEN: Settings = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
LLAMA: Settings = {**TEXT, "num_key_value_heads": 2, "attention_dropout": 0.1, "max_position_embeddings": 64}
ENDS: Settings = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
GPT: Settings = {
    "vocab_size": VOCABULARY,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
RESIDUAL: Settings = {"resid_pdrop": 0.1, "embd_pdrop": 0.1}
BOTH: Settings = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
}
LAYERDROP: Settings = {"encoder_layerdrop": 0.1, "decoder_layerdrop": 0.1}
T5: Settings = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
SPEECH: Settings = {
    **TEXT,
    "conv_dim": (16, 16),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "layerdrop": 0.1,
    "activation_dropout": 0.1,
    "final_dropout": 0.1,
    "mask_time_prob": 0.2,
    "mask_time_length": 2,
    "mask_feature_prob": 0.1,
    "mask_feature_length": 2,
    "pad_token_id": 0,
}
VISION: Settings = {**BLOCKS, **HIDDEN, "image_size": 32, "patch_size": 8}
PATH: Settings = {"drop_path_rate": 0.1}
WINDOWS: Settings = {
    **HIDDEN,
    **PATH,
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}
TWO_TOWERS: Settings = {
    "text_config": {**TEXT, **ENDS, "attention_dropout": 0.1, "max_position_embeddings": 16, "projection_dim": 16},
    "vision_config": {**BLOCKS, "image_size": 32, "patch_size": 8, "attention_dropout": 0.1, "projection_dim": 16},
}


def integers(length: int) -> Callable[[], Tensor]:
    return lambda: tokens(VOCABULARY, length)


def normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape)


IDS = named(input_ids=integers(12))
SEQ2SEQ = named(input_ids=integers(12), decoder_input_ids=integers(5))
WAVE = named(input_values=normal(2, 1600))
PIXELS = named(pixel_values=normal(2, 3, 32, 32))
BOTH_KINDS = named(input_ids=integers(12), pixel_values=normal(2, 3, 32, 32))

# class, configuration's class, settings, example; a name of its own where a class stands twice
MODELS: list[tuple[str, str, Settings, Example]] = [
    ("AlbertForSequenceClassification", "AlbertConfig", {**TEXT, **HIDDEN, "embedding_size": 16}, IDS),
    ("BertForSequenceClassification", "BertConfig", TEXT, IDS),
    ("BertForMaskedLM", "BertConfig", {**TEXT, "attn_implementation": "eager"}, IDS),
    ("BigBirdForSequenceClassification", "BigBirdConfig", {**TEXT, "attention_type": "original_full"}, IDS),
    (
        "DebertaForSequenceClassification",
        "DebertaConfig",
        {**TEXT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0},
        IDS,
    ),
    (
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        {
            **TEXT,
            "relative_attention": True,
            "pos_att_type": ["c2p", "p2c"],
            "position_buckets": 8,
            "type_vocab_size": 0,
        },
        IDS,
    ),
    (
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {"vocab_size": VOCABULARY, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4},
        IDS,
    ),
    ("ElectraForPreTraining", "ElectraConfig", {**TEXT, "embedding_size": 16}, IDS),
    ("EsmForMaskedLM", "EsmConfig", {**TEXT, "pad_token_id": 1, "mask_token_id": 4}, IDS),
    ("FNetForSequenceClassification", "FNetConfig", TEXT, IDS),
    (
        "FunnelForSequenceClassification",
        "FunnelConfig",
        {"vocab_size": VOCABULARY, "block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64},
        IDS,
    ),
    ("LayoutLMForSequenceClassification", "LayoutLMConfig", TEXT, IDS),
    (
        "LongformerForTokenClassification",
        "LongformerConfig",
        {**TEXT, "attention_window": 8},
        named(input_ids=integers(16)),
    ),
    (
        "ModernBertForMaskedLM",
        "ModernBertConfig",
        {
            **TEXT,
            **ENDS,
            "cls_token_id": 1,
            "sep_token_id": 2,
            "attention_dropout": 0.1,
            "embedding_dropout": 0.1,
            "mlp_dropout": 0.1,
        },
        IDS,
    ),
    ("MPNetForSequenceClassification", "MPNetConfig", TEXT, IDS),
    ("RobertaForTokenClassification", "RobertaConfig", TEXT, IDS),
    ("XLMRobertaForSequenceClassification", "XLMRobertaConfig", TEXT, IDS),
    (
        "XLNetForSequenceClassification",
        "XLNetConfig",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
        IDS,
    ),
    (
        "BloomForCausalLM",
        "BloomConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "n_layer": 2,
            "n_head": 4,
            "hidden_dropout": 0.1,
            "attention_dropout": 0.1,
        },
        IDS,
    ),
    ("FalconForCausalLM", "FalconConfig", {**TEXT, "hidden_dropout": 0.1, "attention_dropout": 0.1}, IDS),
    ("GemmaForCausalLM", "GemmaConfig", {**LLAMA, "head_dim": 8}, IDS),
    ("Gemma2ForCausalLM", "Gemma2Config", {**LLAMA, "head_dim": 8}, IDS),
    ("GPT2LMHeadModel", "GPT2Config", {**GPT, "n_positions": 64}, IDS),
    ("GPTJForCausalLM", "GPTJConfig", {**GPT, **RESIDUAL, "rotary_dim": 4, "attn_pdrop": 0.1}, IDS),
    (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
            "attention_dropout": 0.1,
            "embed_dropout": 0.1,
            "resid_dropout": 0.1,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        IDS,
    ),
    ("GPTNeoXForCausalLM", "GPTNeoXConfig", {**TEXT, "hidden_dropout": 0.1, "attention_dropout": 0.1}, IDS),
    ("LlamaForCausalLM", "LlamaConfig", LLAMA, IDS),
    ("MistralForCausalLM", "MistralConfig", {**LLAMA, "sliding_window": 8}, IDS),
    ("MixtralForCausalLM", "MixtralConfig", {**LLAMA, "num_local_experts": 2}, IDS),
    (
        "MptForCausalLM",
        "MptConfig",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "resid_pdrop": 0.1, "emb_pdrop": 0.1},
        IDS,
    ),
    (
        "OPTForCausalLM",
        "OPTConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "layerdrop": 0.1,
        },
        IDS,
    ),
    ("PhiForCausalLM", "PhiConfig", {**LLAMA, **RESIDUAL, "num_key_value_heads": 4}, IDS),
    ("Phi3ForCausalLM", "Phi3Config", {**LLAMA, **RESIDUAL, **ENDS}, IDS),
    ("Qwen2ForCausalLM", "Qwen2Config", LLAMA, IDS),
    ("Qwen3ForCausalLM", "Qwen3Config", {**LLAMA, "head_dim": 8}, IDS),
    ("MambaForCausalLM", "MambaConfig", {**TEXT, "state_size": 4}, IDS),
    ("RwkvForCausalLM", "RwkvConfig", {**TEXT, "attention_hidden_size": 32, "context_length": 64}, IDS),
    ("BartForConditionalGeneration", "BartConfig", {**BOTH, **LAYERDROP}, IDS),
    ("PegasusForConditionalGeneration", "PegasusConfig", BOTH, SEQ2SEQ),
    ("T5ForConditionalGeneration", "T5Config", T5, SEQ2SEQ),
    (
        "SwitchTransformersForConditionalGeneration",
        "SwitchTransformersConfig",
        {**T5, "num_decoder_layers": 2, "num_experts": 2, "router_jitter_noise": 0.01},
        SEQ2SEQ,
    ),
    (
        "ASTForAudioClassification",
        "ASTConfig",
        {
            **BLOCKS,
            **HIDDEN,
            "max_length": 32,
            "num_mel_bins": 16,
            "patch_size": 8,
            "time_stride": 8,
            "frequency_stride": 8,
        },
        named(input_values=normal(2, 32, 16)),
    ),
    ("HubertForCTC", "HubertConfig", SPEECH, WAVE),
    (
        "SpeechT5ForTextToSpeech",
        "SpeechT5Config",
        {
            **{name: value for name, value in BOTH.items() if name != "d_model" and not name.endswith("dropout")},
            "hidden_size": 32,
            "speech_decoder_prenet_units": 16,
            "speech_decoder_postnet_units": 16,
            "num_mel_bins": 8,
            "speaker_embedding_dim": 8,
        },
        named(input_ids=integers(12), decoder_input_values=normal(2, 6, 8), speaker_embeddings=normal(2, 8)),
    ),
    (
        "VitsModel",
        "VitsConfig",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 64,
            "flow_size": 32,
            "spectrogram_bins": 9,
            "upsample_initial_channel": 32,
        },
        IDS,
    ),
    ("Wav2Vec2ForCTC", "Wav2Vec2Config", SPEECH, WAVE),
    ("WavLMForCTC", "WavLMConfig", {**SPEECH, "mask_feature_prob": 0.0}, WAVE),
    (
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        {
            **BOTH,
            **LAYERDROP,
            **ENDS,
            "num_mel_bins": 8,
            "max_source_positions": 20,
            "max_target_positions": 20,
            "decoder_start_token_id": 1,
            "apply_spec_augment": True,
        },
        named(input_features=normal(2, 8, 40), decoder_input_ids=integers(5)),
    ),
    (
        "BeitForImageClassification",
        "BeitConfig",
        {**VISION, **PATH, "num_hidden_layers": 4, "out_indices": [0, 1, 2, 3]},
        PIXELS,
    ),
    (
        "ConvNextForImageClassification",
        "ConvNextConfig",
        {**PATH, "hidden_sizes": [8, 16], "depths": [1, 2], "num_stages": 2},
        PIXELS,
    ),
    ("DeiTForImageClassification", "DeiTConfig", VISION, PIXELS),
    (
        "DetrForObjectDetection",
        "DetrConfig",
        {
            **{name: value for name, value in BOTH.items() if name != "vocab_size"},
            "use_timm_backbone": False,
            "backbone_config": None,
            "num_queries": 5,
        },
        named(pixel_values=normal(2, 3, 64, 64)),
    ),
    ("Dinov2ForImageClassification", "Dinov2Config", {**VISION, **PATH}, PIXELS),
    (
        "ResNetForImageClassification",
        "ResNetConfig",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
        PIXELS,
    ),
    (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            **HIDDEN,
            **PATH,
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "sr_ratios": [2, 1],
            "hidden_sizes": [16, 32],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 32,
        },
        named(pixel_values=normal(2, 3, 64, 64)),
    ),
    ("SwinForImageClassification", "SwinConfig", WINDOWS, PIXELS),
    ("Swinv2ForImageClassification", "Swinv2Config", WINDOWS, PIXELS),
    ("ViTForImageClassification", "ViTConfig", VISION, PIXELS),
    (
        "ViTMAEForPreTraining",
        "ViTMAEConfig",
        {
            **VISION,
            "decoder_hidden_size": 16,
            "decoder_num_hidden_layers": 1,
            "decoder_num_attention_heads": 2,
            "decoder_intermediate_size": 32,
        },
        PIXELS,
    ),
    ("CLIPModel", "CLIPConfig", {**TWO_TOWERS, "projection_dim": 16}, BOTH_KINDS),
    ("SiglipModel", "SiglipConfig", TWO_TOWERS, BOTH_KINDS),
    (
        "ViltForQuestionAnswering",
        "ViltConfig",
        {**VISION, "vocab_size": VOCABULARY, "num_labels": 3, "max_position_embeddings": 16},
        BOTH_KINDS,
    ),
    (
        "PatchTSTForPrediction",
        "PatchTSTConfig",
        {
            "num_input_channels": 2,
            "context_length": 32,
            "patch_length": 8,
            "patch_stride": 8,
            "num_hidden_layers": 2,
            "d_model": 32,
            "num_attention_heads": 4,
            "ffn_dim": 64,
            "prediction_length": 4,
            "attention_dropout": 0.1,
            "positional_dropout": 0.1,
            "ff_dropout": 0.1,
            "path_dropout": 0.1,
            "head_dropout": 0.1,
        },
        named(past_values=normal(2, 32, 2)),
    ),
]


def build(model: str, configuration: str, settings: Settings) -> Callable[[], torch.nn.Module]:
    def made() -> torch.nn.Module:
        import transformers

        built: torch.nn.Module = getattr(transformers, model)(getattr(transformers, configuration)(**settings))
        return built

    return made


ARCHITECTURES = [
    Architecture(f"transformers/{model}", build(model, configuration, settings), example)
    for model, configuration, settings, example in MODELS
]
