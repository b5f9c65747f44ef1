/// A page that stands by itself: nothing from outside, light and dark, as readable on a phone as on a screen.
package enum HTML {
  /// - Parameters:
  ///   - body: what stands under the title, as HTML.
  ///   - head: what the head has beside title and style.
  package static func page(title: String, body: String, head: String = "") -> String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>\(escaped(title))</title>
    <style>\(style)</style>\(head)
    </head>
    <body>
    <main>
    <h1>\(escaped(title))</h1>
    \(body)
    </main>
    </body>
    </html>

    """
  }

  /// Numbers to see first, each with its name.
  package static func cards(_ cards: [(name: String, value: String)]) -> String {
    "<div class=\"cards\">"
      + cards.map { "<div><b>\(escaped($0.value))</b><span>\(escaped($0.name))</span></div>" }.joined() + "</div>"
  }

  /// - Parameters:
  ///   - heads: texts.
  ///   - rows: as ``row(_:)`` gives them.
  package static func table(_ heads: [String], _ rows: [String]) -> String {
    "<div class=\"scroll\"><table><thead><tr>" + heads.map { "<th>\(escaped($0))</th>" }.joined()
      + "</tr></thead><tbody>" + rows.joined() + "</tbody></table></div>"
  }

  /// - Parameter cells: HTML.
  package static func row(_ cells: [String]) -> String {
    "<tr>" + cells.map { "<td>\($0)</td>" }.joined() + "</tr>"
  }

  /// Numbers as horizontal bars, each with its name, its number, its share of all where that says something, and a note.
  ///
  /// - Parameters:
  ///   - bars: texts.
  ///   - whole: what shares are of; nil: no shares.
  ///   - isCode: whether names are pieces of text.
  package static func bars(
    _ bars: [(name: String, value: Int, note: String)], of whole: Int?, isCode: Bool = false
  ) -> String {
    let largest = max(1, bars.map(\.value).max() ?? 1)
    let rows = bars.map { bar in
      let width = Int((1000 * Double(bar.value) / Double(largest)).rounded(.up))
      let share = whole.map { " <i>\(percent(bar.value, of: $0))</i>" } ?? ""
      let name = isCode ? "<code>\(escaped(bar.name))</code>" : escaped(bar.name)
      return """
        <dt>\(name)</dt><dd><span class="track"><span class="bar" style="width:\(width / 10).\(width % 10)%"></span></span>\
        <b>\(grouped(bar.value))</b>\(share)\(bar.note.isEmpty ? "" : "<small>\(escaped(bar.note))</small>")</dd>
        """
    }
    return "<dl class=\"bars\">\(rows.joined())</dl>"
  }

  /// "12.3 %".
  package static func percent(_ part: Int, of whole: Int) -> String {
    guard whole > 0 else { return "0.0 %" }
    let thousandths = Int((1000 * Double(part) / Double(whole)).rounded())
    if thousandths == 0, part > 0 { return "< 0.1 %" }
    return "\(thousandths / 10).\(thousandths % 10) %"
  }

  /// A text as HTML that shows it.
  package static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      // HTML has no way to write control characters.
      case "\u{0}"..."\u{8}", "\u{B}", "\u{C}", "\u{E}"..."\u{1F}", "\u{7F}"..."\u{9F}": result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// "1,234,567".
  package static func grouped(_ number: Int) -> String {
    var digits = String(number)
    var groups: [String] = []
    while digits.count > 3 {
      groups.insert(String(digits.suffix(3)), at: 0)
      digits.removeLast(3)
    }
    return ([digits] + groups).joined(separator: ",")
  }

  private static let style = """
    :root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #3a7bd5; }
    body { margin: 0; font: 16px/1.5 system-ui, sans-serif; }
    main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
    h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
    .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: .8rem; }
    .cards div { padding: .8rem 1rem; border-radius: .6rem; background: var(--soft); }
    .cards b { display: block; font-size: 1.3rem; } .cards span, .note, figcaption { font-size: .85rem; opacity: .75; }
    .scroll { overflow-x: auto; } summary { cursor: pointer; margin: 1rem 0; font-weight: 600; }
    table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
    th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
    th:first-child, td:first-child, th:last-child:nth-child(3), td:last-child:nth-child(3) { text-align: left; }
    .bar { display: inline-block; height: .7em; border-radius: .2em; background: var(--accent); }
    .bars { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem .8rem; align-items: center;
      font-variant-numeric: tabular-nums; } .bars dt { overflow-wrap: anywhere; } .bars dd { margin: 0; display: flex;
      flex-wrap: wrap; align-items: center; gap: 0 .6rem; } .bars .track { flex: 0 0 45%; line-height: 0; }
      .bars .bar { min-width: 2px; } .bars b { font-weight: 500; } .bars i { font-style: normal; opacity: .65; }
      .bars small { flex-basis: 100%; opacity: .65; }
    svg { width: 100%; max-height: 16rem; } rect { fill: var(--accent); rx: 3px; }
    svg text { font-size: 11px; text-anchor: middle; fill: currentColor; }
    .tokens { display: flex; flex-wrap: wrap; gap: .4rem 1rem; padding: 0; list-style: none; }
    code, pre { font: .9rem/1.45 ui-monospace, monospace; }
    .tokens code { padding: .05rem .35rem; border-radius: .3rem; background: var(--soft); }
    figure { margin: 1rem 0; } pre { margin: 0; padding: .8rem 1rem; border-radius: .6rem; background: var(--soft);
      white-space: pre-wrap; overflow-wrap: anywhere; }
    .chart { margin: 1rem 0; } .chart svg { max-height: none; overflow: visible; }
    .chart path { fill: none; stroke-width: 2; stroke-linejoin: round; }
    .chart line { stroke: var(--line); } .chart .end { text-anchor: end; }
    .pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1.5rem; } .pairs > * { min-width: 0; }
    .pairs text { font-size: 17px; }
    .line0 { --color: var(--accent); } .line1 { --color: #e07b39; } .line2 { --color: #3f9d5d; }
    .line3 { --color: #b0559a; } .line4 { --color: #b59419; } .line5 { --color: #2f9ea3; }
    .line6 { --color: #d0575f; } .line7 { --color: #8a7a6b; }
    .chart path { stroke: var(--color); } .chart circle { fill: var(--color); }
    .key { display: inline-block; } .key::before { content: ""; display: inline-block; width: 1em; height: .25em;
      margin: 0 .4em .25em .8em; background: var(--color); }
    .sample { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; margin: 1rem 0 1.6rem; }
    .sample > * { min-width: 0; } .sample .wide { grid-column: 1 / -1; } .sample span { font-size: .85rem; opacity: .75; }
    @media (max-width: 36rem) { .bars { display: block; } .bars dd { margin-bottom: .7rem; } .sample, .pairs { grid-template-columns: 1fr; } main { padding: 1rem; }
      th, td { padding: .35rem .3rem; } .chart text { font-size: 17px; } }
    """
}
