/// What transformers needs to build a model of ours that it doesn't know: a module beside the weights, which its users
/// allow with `trust_remote_code=True`.
enum TransformersModule {
  static let fileName = "modeling_mayfly.py"

  /// `auto_map` of `config.json`.
  static let classes = [
    ("AutoConfig", "modeling_mayfly.MayflyConfig"), ("AutoModel", "modeling_mayfly.MayflyModel"),
    ("AutoModelForCausalLM", "modeling_mayfly.MayflyForCausalLM"),
  ]

  static let source = #"""
    """Mayfly's own architecture for transformers: NanoChat whose feed-forward layers also see the tokens before."""

    import torch
    from torch import nn
    from transformers.models.nanochat.configuration_nanochat import NanoChatConfig
    from transformers.models.nanochat.modeling_nanochat import (
        NanoChatDecoderLayer,
        NanoChatForCausalLM,
        NanoChatModel,
    )


    class MayflyConfig(NanoChatConfig):
        model_type = "mayfly"

        def __init__(self, conv_taps: int = 1, **kwargs):
            self.conv_taps = conv_taps
            super().__init__(**kwargs)


    class CausalConvolution(nn.Module):
        """y_t = x_t + sum over j in 1...k of w_j * x_(t - j), each channel by itself, within a text."""

        def __init__(self, taps: int, width: int):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(taps, width))

        def forward(self, x: torch.Tensor, position_ids: torch.Tensor) -> torch.Tensor:
            y = x
            for j, weight in enumerate(self.weight, start=1):
                before = nn.functional.pad(x, (0, 0, j, 0))[:, : x.shape[1]]
                y = y + weight * before * (position_ids >= j).unsqueeze(-1)
            return y


    class MayflyDecoderLayer(NanoChatDecoderLayer):
        def __init__(self, config: MayflyConfig, layer_idx: int):
            super().__init__(config, layer_idx)
            self.convolution = CausalConvolution(config.conv_taps, config.hidden_size)

        def forward(self, hidden_states: torch.Tensor, position_ids: torch.Tensor, **kwargs) -> torch.Tensor:
            attended, _ = self.self_attn(
                hidden_states=self.input_layernorm(hidden_states), position_ids=position_ids, **kwargs
            )
            hidden_states = hidden_states + attended
            convolved = self.convolution(self.post_attention_layernorm(hidden_states), position_ids)
            return hidden_states + self.mlp(convolved)


    class MayflyModel(NanoChatModel):
        config_class = MayflyConfig

        def __init__(self, config: MayflyConfig):
            super().__init__(config)
            self.layers = nn.ModuleList(MayflyDecoderLayer(config, i) for i in range(config.num_hidden_layers))
            self.post_init()

        def forward(self, *args, **kwargs):
            # What the convolutions saw isn't cached: texts are read whole.
            kwargs["use_cache"] = False
            return super().forward(*args, **kwargs)


    class MayflyForCausalLM(NanoChatForCausalLM):
        config_class = MayflyConfig

        def __init__(self, config: MayflyConfig):
            super().__init__(config)
            self.model = MayflyModel(config)
            self.post_init()

        def generate(self, *args, **kwargs):
            kwargs["use_cache"] = False
            return super().generate(*args, **kwargs)

    """#
}
