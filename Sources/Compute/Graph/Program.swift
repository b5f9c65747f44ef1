/// A graph with a place for every value: what an executor runs.
package struct Program: Sendable {
  package let graph: Graph
  package let memory: MemoryPlan

  /// - Parameter guardBytes: see ``MemoryPlan/init(_:guardBytes:)``.
  package init(_ graph: Graph, guardBytes: Int = 0) {
    self.graph = graph
    memory = MemoryPlan(graph, guardBytes: guardBytes)
  }

  /// Floating-point operations of one run, a multiply-add counted as two.
  package var flops: Double { graph.operations.reduce(0) { $0 + $1.flops(in: graph) } }
}
