/// The page at `/`, to talk to the model in a browser. It loads nothing from elsewhere.
enum ChatPage {
  static let html = """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Mayfly</title>
    <link rel="icon" href="data:,">
    <style>body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }</style>
    </head>
    <body>
    <h1>Mayfly</h1>
    <p>The model is served at <code>/v1</code>, for OpenAI's clients.</p>
    </body>
    </html>
    """
}
