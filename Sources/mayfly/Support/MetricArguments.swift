import ArgumentParser
import Evaluation

/// What predictions are measured by: shared by those of a model and those of a file.
struct MetricArguments: ParsableArguments {
  @Option(
    name: .customLong("metric"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp("\(Metric.names); several with commas, or given again.", valueName: "name"))
  var names: [String] = []

  @Option(help: "How BLEU cuts words: 13a, zh, char or none.")
  var tokenize = BLEUTokenization.v13a

  @Option(help: "How ROUGE cuts words: latin, as rouge-score does, or unicode, for all scripts.")
  var rougeTokenize = ROUGETokenization.latin

  @Option(help: "Write a page with the numbers and sampled texts.")
  var report: String?

  func validate() throws {
    for name in names.flatMap(Self.parts) where Metric(rawValue: name) == nil {
      throw ValidationError("--metric \(name): expected \(Metric.names)")
    }
  }

  /// Each once, in the order given.
  var metrics: [Metric] {
    var metrics: [Metric] = []
    for metric in names.flatMap(Self.parts).compactMap(Metric.init) where !metrics.contains(metric) {
      metrics.append(metric)
    }
    return metrics
  }

  var options: MetricOptions {
    var options = MetricOptions()
    options.bleuTokenization = tokenize
    options.rougeTokenization = rougeTokenize
    options.version = "mayfly-" + Mayfly.configuration.version
    return options
  }

  private static func parts(_ names: String) -> [String] {
    names.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }
}

extension BLEUTokenization: ExpressibleByArgument {}
extension ROUGETokenization: ExpressibleByArgument {}
