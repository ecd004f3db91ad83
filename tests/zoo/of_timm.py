"""timm's models, with its rates of dropout above zero wherever a model takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tests.zoo.architecture import Architecture, images

HEAD: dict[str, Any] = {"drop_rate": 0.1}
PATH: dict[str, Any] = {**HEAD, "drop_path_rate": 0.1}
FULL: dict[str, Any] = {**PATH, "attn_drop_rate": 0.1, "proj_drop_rate": 0.1}

# name, side of the image (also img_size where the model must know it), settings
MODELS: list[tuple[str, int, dict[str, Any]]] = [
    ("beit_base_patch16_224", 64, {**FULL, "img_size": 64, "depth": 4}),
    ("botnet26t_256", 64, {**PATH, "img_size": 64}),
    ("caformer_s18", 64, PATH),
    ("cait_xxs24_224", 64, {**FULL, "img_size": 64}),
    ("coatnet_nano_rw_224", 64, {**PATH, "img_size": 64}),
    ("convnext_atto", 64, PATH),
    ("convnextv2_atto", 64, PATH),
    ("crossvit_tiny_240", 240, PATH),
    ("cspresnet50", 64, PATH),
    ("davit_tiny", 64, PATH),
    ("deit3_small_patch16_224", 64, {**FULL, "img_size": 64}),
    ("deit_tiny_distilled_patch16_224", 64, {**FULL, "img_size": 64}),
    ("densenet121", 64, HEAD),
    ("dla34", 64, HEAD),
    ("dpn48b", 64, HEAD),
    ("edgenext_xx_small", 64, PATH),
    ("efficientformer_l1", 224, PATH),
    ("efficientnet_b0", 64, PATH),
    ("ese_vovnet19b_dw", 64, PATH),
    ("eva02_tiny_patch14_224", 56, {**FULL, "img_size": 56}),
    ("fastvit_t8", 64, PATH),
    ("focalnet_tiny_srf", 64, PATH),
    ("gcvit_xxtiny", 224, {**PATH, "attn_drop_rate": 0.1}),
    ("ghostnet_100", 64, HEAD),
    ("gmlp_ti16_224", 64, {**PATH, "img_size": 64}),
    ("hgnetv2_b0", 64, PATH),
    ("hiera_tiny_224", 64, {**PATH, "img_size": (64, 64)}),
    ("hrnet_w18_small", 64, HEAD),
    ("inception_next_atto", 64, PATH),
    ("inception_resnet_v2", 96, HEAD),
    ("inception_v4", 96, HEAD),
    ("legacy_xception", 96, HEAD),
    ("levit_128s", 224, PATH),
    ("mambaout_femto", 64, PATH),
    ("maxvit_pico_rw_256", 64, {**PATH, "img_size": 64}),
    ("mixer_s16_224", 64, {**PATH, "img_size": 64}),
    ("mobilenetv3_small_100", 64, PATH),
    ("mobilenetv4_conv_small", 64, PATH),
    ("mobilevit_xxs", 64, PATH),
    ("mobilevitv2_050", 64, PATH),
    ("naflexvit_base_patch16_gap", 64, {**FULL, "depth": 2}),
    ("nest_tiny", 224, FULL),
    ("nfnet_l0", 64, PATH),
    ("pit_ti_224", 224, FULL),
    ("poolformer_s12", 64, PATH),
    ("pvt_v2_b0", 64, FULL),
    ("regnety_002", 64, PATH),
    ("res2net50d", 64, PATH),
    ("resmlp_12_224", 64, {**PATH, "img_size": 64}),
    ("resnet18", 64, {**PATH, "drop_block_rate": 0.1}),
    ("resnetv2_50", 64, PATH),
    ("rexnet_100", 64, PATH),
    ("selecsls42b", 64, HEAD),
    ("sequencer2d_s", 224, PATH),
    ("seresnet18", 64, {**PATH, "drop_block_rate": 0.1}),
    ("skresnet18", 64, PATH),
    ("starnet_s1", 64, PATH),
    ("swin_tiny_patch4_window7_224", 56, {**FULL, "img_size": 56}),
    ("swinv2_tiny_window8_256", 64, {**FULL, "img_size": 64}),
    ("tf_efficientnetv2_b0", 64, PATH),
    ("tiny_vit_5m_224", 224, PATH),
    ("tnt_s_legacy_patch16_224", 64, {**FULL, "img_size": 64}),
    ("tresnet_m", 64, HEAD),
    ("twins_pcpvt_small", 64, FULL),
    ("twins_svt_small", 64, FULL),
    ("visformer_tiny", 224, FULL),
    ("vit_small_patch16_dinov3", 64, FULL),
    ("vit_tiny_patch16_224", 64, {**FULL, "img_size": 64, "pos_drop_rate": 0.1, "patch_drop_rate": 0.1}),
    ("vit_tiny_r_s16_p8_224", 64, {**FULL, "img_size": 64}),
    ("volo_d1_224", 64, {**PATH, "img_size": 64}),
    ("xcit_nano_12_p16_224", 64, FULL),
]


def build(name: str, settings: dict[str, Any]) -> Callable[[], torch.nn.Module]:
    def made() -> torch.nn.Module:
        import timm

        model: torch.nn.Module = timm.create_model(name, num_classes=10, **settings)
        return model

    return made


ARCHITECTURES = [Architecture(f"timm/{name}", build(name, settings), images(size)) for name, size, settings in MODELS]
