import Compute
import Testing

@Suite("A graph")
struct GraphTests {
  private static var layout: TensorLayout {
    var layout = TensorLayout()
    layout.add("w", [3, 5])
    layout.add("b", [3])
    return layout
  }

  @Test("has one value for a parameter, however often it is asked for")
  func oneParameter() throws {
    var graph = Graph(parameters: Self.layout)
    let w = try graph.parameter("w")
    #expect(try graph.parameter("w") == w)
    #expect(try graph.parameter("b") != w)
    #expect(graph.gradient(of: w) == graph.gradient(of: w))
    #expect(graph.gradient(of: w) != w)
  }

  @Test("names a tensor that its layout lacks")
  func unknownTensor() {
    var graph = Graph(parameters: Self.layout)
    #expect(throws: ComputeError.unknownTensor(name: "v")) { try graph.parameter("v") }
    #expect(throws: ComputeError.unknownTensor(name: "w")) { try graph.state("w") }
  }

  @Test("refuses operands whose shapes don't fit, by name")
  func shapes() throws {
    var graph = Graph(parameters: Self.layout)
    let x = graph.input("x", [2, 4])
    let y = graph.input("y", [2, 5])
    let w = try graph.parameter("w")
    let b = try graph.parameter("b")
    let refused: [(String, () throws -> Node)] = [
      ("linear", { try graph.linear(x, weight: w) }), ("linear", { try graph.linear(y, weight: b) }),
      ("linear", { try graph.linear(y, weight: w, residual: y) }), ("add", { try graph.add(x, y) }),
      ("norm", { try graph.norm(.rms, x, weight: b, epsilon: 1e-5) }),
      ("gatedActivation", { try graph.gatedActivation(.silu, y) }), ("logits", { try graph.logits(x, weight: w) }),
      ("dropout", { try graph.dropout(x, rate: 1) }), ("embedding", { try graph.embedding(x, table: b) }),
    ]
    for (name, build) in refused {
      let error = #expect(throws: ComputeError.self) { try build() }
      #expect(error?.description.hasPrefix(name) == true)
    }
    #expect(graph.operations.isEmpty)
  }

  @Test("keeps what the host wants to read, and only what is its own to keep")
  func keeps() throws {
    var graph = Graph(parameters: Self.layout)
    let x = graph.input("x", [2, 5])
    let y = try graph.linear(x, weight: graph.parameter("w"))
    graph.keep(y)
    graph.keep(x)
    #expect(graph[y].role == .result)
    #expect(graph[x].role == .input)
  }

  @Test("lays tensors out at cache lines, matrices with room for eight rows, and counts without the padding")
  func layout() {
    let layout = Self.layout
    #expect(layout.entries.map(\.offset) == [0, 48])
    #expect(layout.count == 64)
    #expect(layout.parameterCount == 18)
    #expect(layout["b"]?.shape == [3])
    #expect(layout["c"] == nil)
  }
}
