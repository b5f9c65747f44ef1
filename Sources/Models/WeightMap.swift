package import Compute

/// Which tensor of a Hugging Face folder makes up which part of which parameter.
///
/// Ours are fewer: queries, keys and values are rows of one matrix, and so are a gate and its values. GPT-2's matrices
/// are stored (in, out) and so transposed.
package struct WeightMap: Sendable {
  package struct Entry: Sendable {
    /// The name in `model.safetensors`.
    package let name: String
    /// Names under which others have it, tried in this order.
    package let otherNames: [String]
    /// The shape there.
    package let shape: Shape
    /// Our parameter, and its rows that this tensor holds.
    package let parameter: String
    package let rows: Range<Int>
    package let isTransposed: Bool
  }

  package private(set) var entries: [Entry] = []
  /// What is written once more under another name: (that name, the entry's).
  package private(set) var copies: [(name: String, of: String)] = []
  private let layout: TensorLayout

  package init(_ config: ModelConfig, layout: TensorLayout) {
    self.layout = layout
    switch config.architecture {
    case .gpt2: addGPT2(config)
    case .llama, .qwen3, .nanochat, .mayfly: addLlamaFamily(config)
    case .encoder: addEncoder(config)
    case .bert: addBERT(config)
    }
  }

  private mutating func add(
    _ name: String, _ parameter: String, rows: Range<Int>? = nil, transposed: Bool = false, or others: [String] = []
  ) {
    guard let shape = layout[parameter]?.shape else { return }
    let rows = rows ?? 0..<shape[0]
    let part = Shape([rows.count] + shape.dimensions.dropFirst())
    entries.append(
      Entry(
        name: name, otherNames: others + Self.withoutPrefix([name] + others),
        shape: transposed ? Shape(part.dimensions.reversed()) : part, parameter: parameter, rows: rows,
        isTransposed: transposed))
  }

  /// The first GPT-2 folders, and those of a BertModel without a head, leave out the model's name.
  private static func withoutPrefix(_ names: [String]) -> [String] {
    names.compactMap { name in
      ["transformer.", "bert."].first { name.hasPrefix($0) }.map { String(name.dropFirst($0.count)) }
    }
  }

  private mutating func addGPT2(_ config: ModelConfig) {
    add("transformer.wte.weight", "embedding")
    add("transformer.wpe.weight", "positions")
    let parts = [
      ("attn.c_attn", "qkv"), ("attn.c_proj", "attentionOutput"), ("mlp.c_fc", "mlpInput"), ("mlp.c_proj", "mlpOutput"),
    ]
    for layer in 0..<config.layers {
      let theirs = "transformer.h.\(layer)."
      let ours = "layers.\(layer)."
      for (name, norm) in [("ln_1", "attentionNorm"), ("ln_2", "mlpNorm")] {
        add(theirs + name + ".weight", ours + norm + ".weight")
        add(theirs + name + ".bias", ours + norm + ".bias")
      }
      for (name, linear) in parts {
        add(theirs + name + ".weight", ours + linear + ".weight", transposed: true)
        add(theirs + name + ".bias", ours + linear + ".bias")
      }
    }
    add("transformer.ln_f.weight", "finalNorm.weight")
    add("transformer.ln_f.bias", "finalNorm.bias")
    add("lm_head.weight", "head")
    add("score.weight", Transformer.scoreName)
  }

  private mutating func addLlamaFamily(_ config: ModelConfig) {
    let queryWidth = config.heads * config.headSize
    let keyWidth = config.keyValueHeads * config.headSize
    add("model.embed_tokens.weight", "embedding")
    for layer in 0..<config.layers {
      let theirs = "model.layers.\(layer)."
      let ours = "layers.\(layer)."
      add(theirs + "input_layernorm.weight", ours + "attentionNorm.weight")
      add(theirs + "post_attention_layernorm.weight", ours + "mlpNorm.weight")
      add(theirs + "self_attn.q_norm.weight", ours + "queryNorm.weight")
      add(theirs + "self_attn.k_norm.weight", ours + "keyNorm.weight")
      let ends = [0, queryWidth, queryWidth + keyWidth, queryWidth + 2 * keyWidth]
      for kind in ["weight", "bias"] {
        for (index, name) in ["q_proj", "k_proj", "v_proj"].enumerated() {
          add(theirs + "self_attn.\(name).\(kind)", ours + "qkv.\(kind)", rows: ends[index]..<ends[index + 1])
        }
        add(theirs + "self_attn.o_proj.\(kind)", ours + "attentionOutput.\(kind)")
        let F = config.intermediateSize
        if config.isGated {
          add(theirs + "mlp.gate_proj.\(kind)", ours + "mlpInput.\(kind)", rows: 0..<F)
          add(theirs + "mlp.up_proj.\(kind)", ours + "mlpInput.\(kind)", rows: F..<2 * F)
          add(theirs + "mlp.down_proj.\(kind)", ours + "mlpOutput.\(kind)")
        } else {
          add(theirs + "mlp.fc1.\(kind)", ours + "mlpInput.\(kind)")
          add(theirs + "mlp.fc2.\(kind)", ours + "mlpOutput.\(kind)")
        }
      }
      add(theirs + "convolution.weight", ours + "convolution")
    }
    add("model.norm.weight", "finalNorm.weight")
    add("lm_head.weight", "head")
    add("score.weight", Transformer.scoreName)
  }

  /// The state_dict of torch.nn.TransformerEncoder under `encoder.`; its in_proj is our qkv.
  private mutating func addEncoder(_ config: ModelConfig) {
    add("embedding.weight", "embedding")
    add("positions.weight", "positions")
    let parts = [
      ("self_attn.in_proj_", "qkv."), ("self_attn.out_proj.", "attentionOutput."), ("linear1.", "mlpInput."),
      ("linear2.", "mlpOutput."), ("norm1.", "attentionNorm."), ("norm2.", "mlpNorm."),
    ]
    for layer in 0..<config.layers {
      for (theirs, ours) in parts {
        for kind in ["weight", "bias"] {
          add("encoder.layers.\(layer).\(theirs)\(kind)", "layers.\(layer).\(ours)\(kind)")
        }
      }
    }
    add("head.weight", "head")
    add("head.bias", "head.bias")
    add("score.weight", Transformer.scoreName)
  }

  private mutating func addBERTNorm(_ theirs: String, _ ours: String) {
    // TensorFlow's checkpoints call them gamma and beta.
    for (kind, old) in [("weight", "gamma"), ("bias", "beta")] {
      add("\(theirs).LayerNorm.\(kind)", "\(ours).\(kind)", or: ["\(theirs).LayerNorm.\(old)"])
    }
  }

  private mutating func addBERT(_ config: ModelConfig) {
    add("bert.embeddings.word_embeddings.weight", "embedding")
    add("bert.embeddings.position_embeddings.weight", "positions")
    add("bert.embeddings.token_type_embeddings.weight", "tokenTypes")
    addBERTNorm("bert.embeddings", "embeddingNorm")
    let C = config.hiddenSize
    for layer in 0..<config.layers {
      let theirs = "bert.encoder.layer.\(layer)."
      let ours = "layers.\(layer)."
      for kind in ["weight", "bias"] {
        for (index, name) in ["query", "key", "value"].enumerated() {
          add(theirs + "attention.self.\(name).\(kind)", ours + "qkv.\(kind)", rows: index * C..<(index + 1) * C)
        }
        add(theirs + "attention.output.dense.\(kind)", ours + "attentionOutput.\(kind)")
        add(theirs + "intermediate.dense.\(kind)", ours + "mlpInput.\(kind)")
        add(theirs + "output.dense.\(kind)", ours + "mlpOutput.\(kind)")
      }
      addBERTNorm(theirs + "attention.output", ours + "attentionNorm")
      addBERTNorm(theirs + "output", ours + "mlpNorm")
    }
    for kind in ["weight", "bias"] { add("cls.predictions.transform.dense.\(kind)", "headDense.\(kind)") }
    addBERTNorm("cls.predictions.transform", "headNorm")
    add("cls.predictions.decoder.weight", "head")
    add("score.weight", Transformer.scoreName)
    // One parameter under two names; transformers computes with the decoder's, which tied folders leave out.
    let (bias, decoderBias) = ("cls.predictions.bias", "cls.predictions.decoder.bias")
    if config.tiesEmbeddings {
      add(bias, "head.bias", or: [decoderBias])
    } else {
      add(decoderBias, "head.bias", or: [bias])
      copies.append((bias, decoderBias))
    }
  }
}

/// The transpose of a matrix of `rows` rows.
package func transposed(_ values: [Float], rows: Int) -> [Float] {
  guard rows > 0 else { return values }
  let columns = values.count / rows
  return [Float](unsafeUninitializedCapacity: values.count) { result, initialized in
    // Blocks that stay in the cache: a row of one is a column of the other.
    let block = 32
    for rowStart in stride(from: 0, to: rows, by: block) {
      for columnStart in stride(from: 0, to: columns, by: block) {
        for row in rowStart..<min(rows, rowStart + block) {
          for column in columnStart..<min(columns, columnStart + block) {
            result[column * rows + row] = values[row * columns + column]
          }
        }
      }
    }
    initialized = values.count
  }
}
