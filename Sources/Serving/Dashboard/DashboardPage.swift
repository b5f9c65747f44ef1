import Formats

/// The page of a training: its report, which asks for itself anew.
enum DashboardPage {
  /// Where the report is without the page around it.
  static let bodyPath = "/body"

  static func html(title: String, body: String) -> String {
    HTML.page(
      title: title,
      body: """
        <p id="state" class="note" role="status">Live, as the training goes.</p>
        <div id="report">\(body)</div>
        <script>\(script)</script>
        """, head: "<link rel=\"icon\" href=\"data:,\">")
  }

  /// What is open stays open. A page that nobody sees asks for nothing.
  private static let script = """
    const report = document.getElementById("report"), state = document.getElementById("state");
    async function refresh() {
      try {
        if (document.hidden) return;
        const answer = await fetch("\(bodyPath)", { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.status);
        const body = await answer.text();
        const open = [...report.querySelectorAll("details[open]")].map((details) => details.id);
        report.innerHTML = body;
        for (const id of open) document.getElementById(id)?.setAttribute("open", "");
        state.textContent = "Live, as the training goes.";
      } catch {
        state.textContent = "The training has ended, or can't be reached. This is what was seen last; \\
    report.html in the run's folder has all.";
      } finally {
        setTimeout(refresh, 3000);
      }
    }
    setTimeout(refresh, 3000);
    """
}
