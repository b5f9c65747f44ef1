/// A graph with a place for every value: what an executor runs.
package struct Program: Sendable {
  package let graph: Graph
  package let memory: MemoryPlan

  /// - Parameters: see ``MemoryPlan/init(_:guardBytes:joined:)``.
  package init(_ graph: Graph, guardBytes: Int = 0, joined: Set<Int> = []) {
    self.graph = graph
    memory = MemoryPlan(graph, guardBytes: guardBytes, joined: joined)
  }

  /// Floating-point operations of one run, a multiply-add counted as two.
  package var flops: Double { graph.operations.reduce(0) { $0 + $1.flops(in: graph) } }
}
