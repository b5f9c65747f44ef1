import Compute

/// Every operation, as cases at given shapes.
package enum OpTable {
  package static let all = cases(OpShapes.awkward)

  /// Every operation at these shapes.
  package static func cases(_ shapes: OpShapes) -> [OpCase] {
    let families = [
      linears, norms, headNorms, rotaries, attentions, cachedAttentions, activations, branches, elementwise, embeddings,
      convolutions, pools, heads,
    ]
    return families.flatMap { $0(shapes) }
  }

  private static func linears(_ shapes: OpShapes) -> [OpCase] {
    shapes.linears.flatMap { m, n, k in
      [(false, false), (true, false), (false, true), (true, true)].map { bias, residual in
        OpCase(
          "linear \(m)×\(n)×\(k)\(bias ? " bias" : "")\(residual ? " residual" : "")",
          parameters: [("weight", [n, k])] + (bias ? [("bias", [n])] : [])
        ) { graph in
          let x = graph.input("x", [m, k])
          let residual = residual ? graph.input("residual", [m, n]) : nil
          return [
            try graph.linear(
              x, weight: graph.parameter("weight"), bias: bias ? graph.parameter("bias") : nil, residual: residual)
          ]
        }
      }
    }
  }

  private static func norms(_ shapes: OpShapes) -> [OpCase] {
    shapes.norms.flatMap {
      rows, width in
      let variants: [(NormKind, Bool, Bool)] = [
        (.layer, true, true), (.layer, true, false), (.layer, false, false), (.rms, true, false), (.rms, false, false),
      ]
      return variants.flatMap { kind, weight, bias in
        [false, true].map { residual in
          OpCase(
            "\(kind) norm \(rows)×\(width)\(weight ? " weight" : "")\(bias ? " bias" : "")\(residual ? " addend" : "")",
            parameters: (weight ? [("weight", [width])] : []) + (bias ? [("bias", [width])] : [])
          ) { graph in
            let x = graph.input("x", [rows, width])
            let y = try graph.norm(
              kind, x, weight: weight ? graph.parameter("weight") : nil, bias: bias ? graph.parameter("bias") : nil,
              epsilon: 1e-2)
            // A residual around the norm: its gradient reaches the norm's as an addend.
            return [residual ? try graph.add(y, x) : y]
          }
        }
      }
    }
  }

  private static func headNorms(_ shapes: OpShapes) -> [OpCase] {
    shapes.layouts.flatMap { rows, H, K, D in
      [false, true].map { weight in
        OpCase(
          "head norm \(rows)×(\(H)+\(K))×\(D)\(weight ? " weight" : "")",
          parameters: weight ? [("query", [D]), ("key", [D])] : []
        ) { graph in
          let layout = try HeadLayout(queryHeads: H, keyValueHeads: K, headSize: D)
          return [
            try graph.headNorm(
              graph.input("x", [rows, layout.packedWidth]), layout: layout,
              queryWeight: weight ? graph.parameter("query") : nil, keyWeight: weight ? graph.parameter("key") : nil,
              epsilon: 1e-3)
          ]
        }
      }
    }
  }

  private static func rotaries(_ shapes: OpShapes) -> [OpCase] {
    shapes.layouts.flatMap { rows, H, K, D in
      [false, true].map { inverse in
        OpCase(
          "rotary \(rows)×(\(H)+\(K))×\(D)\(inverse ? " inverse" : "")",
          integers: ["positions": integers(rows, below: 50, seed: 3)]
        ) { graph in
          let layout = try HeadLayout(queryHeads: H, keyValueHeads: K, headSize: D)
          return [
            try graph.rotary(
              graph.input("x", [1, rows, layout.packedWidth]), positions: graph.input("positions", [1, rows], .int32),
              layout: layout, frequencies: RotaryFrequencies(base: 10_000, headSize: D), maxPositions: 50,
              inverse: inverse)
          ]
        }
      }
    }
  }

  private static func attentions(_ shapes: OpShapes) -> [OpCase] {
    shapes.attentions.flatMap { B, T, H, K, D in
      let masks: [(String, [Int32]?)] = [
        ("causal", nil), ("bidirectional", nil),
        ("padding", KeyRanges.padding(lengths: (0..<B).map { max(1, T - 3 * $0 - 1) }, time: T)),
        ("empty padding", KeyRanges.padding(lengths: (0..<B).map { $0.isMultiple(of: 2) ? 0 : T }, time: T)),
        ("prefix", KeyRanges.prefix((0..<B).map { T / 2 + $0 }, time: T)),
        ("window", KeyRanges.slidingWindow(3, batch: B, time: T)),
        ("documents", KeyRanges.documents(starts: (0..<B).map { [0, T / 3 + $0, 2 * T / 3] }, time: T)),
      ]
      let dropped = [("causal", nil, Float(0.3)), ("bidirectional", nil, 0.1), (masks[2].0, masks[2].1, 0.5)]
      return (masks.map { ($0.0, $0.1, 0) } + dropped).map { name, ranges, dropout in
        OpCase(
          "attention \(B)×\(T) H\(H) K\(K) D\(D) \(name)\(dropout > 0 ? " dropout \(dropout)" : "")",
          integers: ranges.map { ["ranges": $0] } ?? [:],
          tolerance: 1e-5
        ) { graph in
          let layout = try HeadLayout(queryHeads: H, keyValueHeads: K, headSize: D)
          let mask: AttentionMask =
            switch name {
            case "causal": .causal
            case "bidirectional": .bidirectional
            default: .ranges(graph.input("ranges", [B, T, 2], .int32))
            }
          return [
            try graph.attention(
              graph.input("qkv", [B, T, layout.packedWidth]), layout: layout, mask: mask, dropout: dropout)
          ]
        }
      }
    }
  }

  private static func cachedAttentions(_ shapes: OpShapes) -> [OpCase] {
    shapes.cachedAttentions.map { B, T, H, K, D, capacity, past in
      OpCase(
        "cached attention \(B)×\(T) H\(H) K\(K) D\(D) after \(past) of \(capacity)",
        states: [("keys", [B, capacity, K * D]), ("values", [B, capacity, K * D])],
        integers: ["positions": (0..<B).flatMap { _ in (0..<T).map { Int32(past + $0) } }], backward: .none
      ) { graph in
        let layout = try HeadLayout(queryHeads: H, keyValueHeads: K, headSize: D)
        return [
          try graph.cachedAttention(
            graph.input("qkv", [B, T, layout.packedWidth]), positions: graph.input("positions", [B, T], .int32),
            keys: graph.state("keys"), values: graph.state("values"), layout: layout)
        ]
      }
    }
  }

  private static func activations(_ shapes: OpShapes) -> [OpCase] {
    shapes.activations.flatMap { rows, width in
      ActivationKind.allCases.flatMap { kind in
        [false, true].map { gated in
          OpCase("\(gated ? "gated " : "")\(kind) \(rows)×\(width)") { graph in
            let x = graph.input("x", [rows, gated ? 2 * width : width])
            return [gated ? try graph.gatedActivation(kind, x) : graph.activation(kind, x)]
          }
        }
      }
    }
  }

  /// Products behind a norm or an activation, whose values the backward pass makes once more; two of them read the last.
  private static func branches(_ shapes: OpShapes) -> [OpCase] {
    shapes.branches.flatMap { rows, width in
      [
        (NormKind.layer, ActivationKind.geluTanh, false), (.layer, .gelu, true), (.rms, .silu, true),
        (.rms, .reluSquared, false),
      ]
      .map { (norm: NormKind, activation: ActivationKind, gated: Bool) in
        let inner = 2 * width
        return OpCase(
          "\(norm) norm, product, \(gated ? "gated " : "")\(activation), products \(rows)×\(width)",
          parameters: [
            ("norm", [width]), ("in", [inner, width]), ("out", [width, gated ? width : inner]),
            ("second", [3, gated ? width : inner]),
          ] + (norm == .layer ? [("bias", [width])] : []),
          isChain: true
        ) { graph in
          let x = graph.input("x", [rows, width])
          let h = try graph.norm(
            norm, x, weight: graph.parameter("norm"), bias: norm == .layer ? graph.parameter("bias") : nil,
            epsilon: 1e-2)
          let inside = try graph.linear(h, weight: graph.parameter("in"))
          let y = gated ? try graph.gatedActivation(activation, inside) : graph.activation(activation, inside)
          return [
            try graph.linear(y, weight: graph.parameter("out"), residual: x),
            try graph.linear(y, weight: graph.parameter("second")),
          ]
        }
      }
    }
  }

  private static func elementwise(_ shapes: OpShapes) -> [OpCase] {
    shapes.elementwise.flatMap { count in
      [
        OpCase("add \(count)") { graph in [try graph.add(graph.input("a", [count]), graph.input("b", [count]))] },
        OpCase("dropout \(count)") { graph in [try graph.dropout(graph.input("x", [count]), rate: 0.3)] },
        OpCase("second dropout \(count)") { graph in
          [try graph.dropout(graph.dropout(graph.input("x", [count]), rate: 0.5), rate: 0.1)]
        },
      ]
    }
  }

  private static func embeddings(_ shapes: OpShapes) -> [OpCase] {
    shapes.embeddings.flatMap { rows, vocabulary, width in
      [Float(1), 22.6].map { scale in
        OpCase(
          "embedding \(rows) of \(vocabulary)×\(width)\(scale == 1 ? "" : " scaled")",
          parameters: [("table", [vocabulary, width])], integers: ["ids": integers(rows, below: vocabulary, seed: 5)]
        ) { graph in
          [try graph.embedding(graph.input("ids", [rows], .int32), table: graph.parameter("table"), scale: scale)]
        }
      }
    }
  }

  private static func convolutions(_ shapes: OpShapes) -> [OpCase] {
    shapes.convolutions.flatMap { (B: Int, T: Int, C: Int, taps: Int, positions: [Int32]) in
      let (past, name) = (T / 2 + 1, "convolution \(B)×\(T)×\(C) with \(taps) before")
      return [
        OpCase(
          name, parameters: [("weight", [taps, C])],
          integers: ["positions": (0..<B).flatMap { _ in positions }]
        ) { graph in
          [
            try graph.causalConvolution(
              graph.input("x", [B, T, C]), weight: graph.parameter("weight"),
              positions: graph.input("positions", [B, T], .int32))
          ]
        },
        OpCase(
          name + ", two products", parameters: [("weight", [taps, C]), ("out", [3, C]), ("second", [2, C])],
          integers: ["positions": (0..<B).flatMap { _ in positions }], isChain: true
        ) { graph in
          let h = try graph.norm(.rms, graph.input("x", [B, T, C]), epsilon: 1e-2)
          let y = try graph.causalConvolution(
            h, weight: graph.parameter("weight"), positions: graph.input("positions", [B, T], .int32))
          return [
            try graph.linear(y, weight: graph.parameter("out")), try graph.linear(y, weight: graph.parameter("second")),
          ]
        },
        OpCase(
          name + " after \(past) in a cache", parameters: [("weight", [taps, C])],
          states: [("cache", [B, past + T, C])],
          integers: ["positions": (0..<B).flatMap { _ in (0..<T).map { Int32(past + $0) } }], backward: .none
        ) { graph in
          [
            try graph.causalConvolution(
              graph.input("x", [B, T, C]), weight: graph.parameter("weight"),
              positions: graph.input("positions", [B, T], .int32), cache: graph.state("cache"))
          ]
        },
      ]
    }
  }

  private static func pools(_ shapes: OpShapes) -> [OpCase] {
    shapes.pools.map { (B: Int, T: Int, C: Int, ranges: [Int32]) in
      OpCase("mean pool \(B)×\(T)×\(C) \(ranges)", integers: ["ranges": ranges]) { graph in
        [
          try graph.meanPool(
            graph.input("x", [B, T, C]), ranges: graph.input("ranges", [B, ranges.count / 2 / B, 2], .int32))
        ]
      }
    }
  }

  /// Rows, width, vocabulary, and the rows' weights in turn.
  private static func heads(_ shapes: OpShapes) -> [OpCase] {
    shapes.heads.flatMap { (rows: Int, C: Int, V: Int, weightsInTurn: [Float]) in
      let weights = (0..<rows).map { weightsInTurn[$0 % weightsInTurn.count] }
      let total = max(1, weights.reduce(0, +))
      let plain = HeadLoss.Terms()
      let more = HeadLoss.Terms(labelSmoothing: 0.1, zLoss: 0.5)
      var variants: [(Float?, Bool, HeadLoss.Terms)] = [
        (nil, false, plain), (2, false, plain), (nil, true, plain), (2, true, plain),
      ]
      // Of a single token there is nothing to predict: what is left of its gradient is what rounding leaves.
      if V > 1 { variants += [(nil, false, more), (2, true, more)] }
      return variants.flatMap { softcap, bias, terms in
        let parameters: [(String, Shape)] = [("weight", [V, C])] + (bias ? [("bias", [V])] : [])
        return [
          OpCase(
            "head loss \(rows)×\(C)×\(V) \(weightsInTurn)\(softcap == nil ? "" : " softcap")\(bias ? " bias" : "")"
              + (terms == plain ? "" : " smoothed"),
            parameters: parameters, integers: ["targets": integers(rows, below: V, seed: 7)],
            floats: ["weights": weights, "normalizer": [total]], backward: .loss
          ) { graph in
            let result = try graph.headLoss(
              graph.input("x", [rows, C]), weight: graph.parameter("weight"),
              bias: bias ? graph.parameter("bias") : nil, softcap: softcap, terms: terms,
              targets: graph.input("targets", [rows], .int32), weights: graph.input("weights", [rows], .float32),
              normalizer: graph.input("normalizer", [], .float32))
            return [result.losses, result.correct]
          },
          OpCase(
            "logits \(rows)×\(C)×\(V)\(softcap == nil ? "" : " softcap")\(bias ? " bias" : "")", parameters: parameters,
            backward: .none
          ) { graph in
            [
              try graph.logits(
                graph.input("x", [rows, C]), weight: graph.parameter("weight"),
                bias: bias ? graph.parameter("bias") : nil, softcap: softcap)
            ]
          },
        ]
      }
    }
  }
}
