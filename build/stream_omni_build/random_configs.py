"""The configuration files of a random checkpoint, with the keys of the real ones."""

from __future__ import annotations

from typing import Any

from stream_omni_build import cosyvoice_tensors as cosyvoice
from stream_omni_build.random_sizes import CosyVoiceSizes, RandomSize
from stream_omni_build.random_tokenizer import TokenRoles


def model_config(size: RandomSize, roles: TokenRoles) -> dict[str, Any]:
    """config.json."""
    llama, rope = size.llama, size.llama.rope
    return {
        "architectures": ["StreamOmniLlamaForCausalLM"],
        "model_type": "stream_omni_llama",
        "vocab_size": size.vocabulary,
        "text_vocab_size": size.text_vocabulary,
        "audio_vocab_size": size.units,
        "hidden_size": llama.hidden,
        "intermediate_size": llama.intermediate,
        "num_hidden_layers": llama.llm_layers,
        "num_attention_heads": llama.heads,
        "num_key_value_heads": llama.kv_heads,
        "num_bottom_audio_layers": llama.bottom_layers,
        "num_top_audio_layers": llama.top_layers,
        "hidden_act": "silu",
        "rms_norm_eps": llama.rms_norm_eps,
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": 131072,
        "rope_theta": rope.theta,
        "rope_scaling": {
            "factor": rope.factor,
            "low_freq_factor": rope.low_freq_factor,
            "high_freq_factor": rope.high_freq_factor,
            "original_max_position_embeddings": rope.original_positions,
            "rope_type": "llama3",
        },
        "tie_word_embeddings": False,
        "use_cache": True,
        "bos_token_id": roles.bos,
        "eos_token_id": list(roles.eos),
        "torch_dtype": size.dtype,
        "mm_vision_tower": size.vision_folder,
        "mm_hidden_size": size.vision.width,
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_newline_position": "one_token",
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "image_aspect_ratio": size.aspect_ratio,
        "image_grid_pinpoints": size.grid_pinpoints,
        "tokenizer_model_max_length": size.context_tokens,
        "tokenizer_padding_side": "right",
    }


def generation_config(roles: TokenRoles) -> dict[str, Any]:
    return {
        "bos_token_id": roles.bos,
        "eos_token_id": list(roles.eos),
        "pad_token_id": roles.eot,
        "do_sample": False,
    }


def vision_config(size: RandomSize) -> dict[str, Any]:
    """config.json of the SigLIP folder, which counts the layer that Stream-Omni's own file no longer has."""
    vision = size.vision
    return {
        "architectures": ["SiglipVisionModel"],
        "model_type": "siglip_vision_model",
        "hidden_size": vision.width,
        "intermediate_size": vision.intermediate,
        "num_hidden_layers": vision.layers + 1,
        "num_attention_heads": vision.heads,
        "num_channels": 3,
        "image_size": vision.image_size_px,
        "patch_size": vision.patch_size_px,
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": vision.layer_norm_eps,
        "attention_dropout": 0.0,
    }


def cosyvoice_yaml(sizes: CosyVoiceSizes, units: int) -> str:
    """cosyvoice.yaml with the tags of the real file, which a reader takes as data."""
    dilations = [list(cosyvoice.DILATIONS)]
    return f"""\
__set_seed1: !apply:random.seed [1986]
__set_seed2: !apply:numpy.random.seed [1986]
__set_seed3: !apply:torch.manual_seed [1986]
sample_rate: 22050
spk_embed_dim: {cosyvoice.SPEAKER_SIZE}
flow: !new:cosyvoice.flow.flow.MaskedDiffWithXvec
    input_size: {sizes.encoder_width}
    output_size: {cosyvoice.MEL_CHANNELS}
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {units}
    input_frame_rate: 25
    only_mask_loss: True
    encoder: !new:cosyvoice.transformer.encoder.ConformerEncoder
        output_size: {sizes.encoder_width}
        attention_heads: {sizes.encoder_heads}
        linear_units: {sizes.encoder_intermediate}
        num_blocks: {sizes.encoder_layers}
        normalize_before: True
        input_layer: 'linear'
        pos_enc_layer_type: 'rel_pos_espnet'
        selfattention_layer_type: 'rel_selfattn'
        input_size: {sizes.encoder_width}
        use_cnn_module: False
        macaron_style: False
    length_regulator: !new:cosyvoice.flow.length_regulator.InterpolateRegulator
        channels: {cosyvoice.MEL_CHANNELS}
        sampling_ratios: [1, 1, 1, 1]
    decoder: !new:cosyvoice.flow.flow_matching.ConditionalCFM
        in_channels: {3 * cosyvoice.MEL_CHANNELS}
        n_spks: 1
        spk_emb_dim: {cosyvoice.MEL_CHANNELS}
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: 0.7
                temperature: {sizes.temperature}
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.decoder.ConditionalDecoder
            in_channels: {4 * cosyvoice.MEL_CHANNELS}
            out_channels: {cosyvoice.MEL_CHANNELS}
            channels: [{sizes.estimator_width}, {sizes.estimator_width}]
            dropout: 0.0
            attention_head_dim: {sizes.estimator_head_size}
            n_blocks: {sizes.estimator_blocks}
            num_mid_blocks: {sizes.estimator_mid_blocks}
            num_heads: {sizes.estimator_heads}
            act_fn: 'gelu'
hift: !new:cosyvoice.hifigan.generator.HiFTGenerator
    in_channels: {cosyvoice.MEL_CHANNELS}
    base_channels: {sizes.vocoder_channels}
    nb_harmonics: {cosyvoice.HARMONICS - 1}
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: {list(cosyvoice.UPSAMPLE_RATES)}
    upsample_kernel_sizes: {list(cosyvoice.UPSAMPLE_KERNELS)}
    istft_params:
        n_fft: {cosyvoice.ISTFT_SIZE}
        hop_len: {cosyvoice.ISTFT_SIZE // 4}
    resblock_kernel_sizes: {list(cosyvoice.RESBLOCK_KERNELS)}
    resblock_dilation_sizes: {dilations * len(cosyvoice.RESBLOCK_KERNELS)}
    source_resblock_kernel_sizes: {list(cosyvoice.SOURCE_KERNELS)}
    source_resblock_dilation_sizes: {dilations * len(cosyvoice.SOURCE_KERNELS)}
    lrelu_slope: 0.1
    audio_limit: 0.99
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.ConvRNNF0Predictor
        num_class: 1
        in_channels: {cosyvoice.MEL_CHANNELS}
        cond_channels: {sizes.f0_channels}
"""
