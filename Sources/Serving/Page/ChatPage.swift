/// The page on which people talk with the model: one document that asks nobody but the service it came from.
///
/// Style and script have no attributes and stand alone, so that a Content-Security-Policy can name them by their hash.
/// Words for people are marked `data-text`; the script puts them into the reader's language.
package enum ChatPage {
  package static let html = #"""
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Mayfly</title>
    <link rel="icon" href="data:,">
    <style>\#(style)</style>
    </head>
    <body>
    <header>
      <h1>Mayfly <span id="model"></span></h1>
      <details id="settings">
        <summary data-text="settings">Settings</summary>
        <div class="panel">
          <label for="temperature" data-text="temperature">Temperature</label>
          <input id="temperature" type="number" min="0" max="2" step="0.05" value="0.7"
            aria-describedby="temperature-help">
          <small id="temperature-help" data-text="temperatureHelp">0 always takes the likeliest word</small>
          <label for="length" data-text="length">Longest answer</label>
          <input id="length" type="number" min="1" max="100000" aria-describedby="length-help">
          <small id="length-help" data-text="lengthHelp">in tokens (¾ of a word each); empty: what fits</small>
          <label for="seed" data-text="seed">Seed</label>
          <input id="seed" type="number" min="0" max="9007199254740991" aria-describedby="seed-help">
          <small id="seed-help" data-text="seedHelp">empty: another answer each time</small>
          <label for="key" data-text="key">Key</label>
          <input id="key" form="form" type="password" autocomplete="off" aria-describedby="key-help">
          <small id="key-help" data-text="keyHelp">where the service asks for one</small>
        </div>
      </details>
      <button id="new" type="button" data-text="new">New</button>
    </header>
    <main id="log" role="log" tabindex="0" data-label="conversation" aria-label="Conversation">
      <div id="welcome">
        <p class="large" data-text="welcome">What would you like to talk about?</p>
        <p id="place"></p>
        <p data-text="keys">Enter sends, Shift+Enter begins a new line, Escape stops an answer.</p>
      </div>
    </main>
    <form id="form" novalidate>
      <p id="status" role="status"></p>
      <div id="alert" role="alert"></div>
      <div class="row">
        <textarea id="input" rows="1" data-label="message" aria-label="Your message"></textarea>
        <button id="send" type="submit" class="main" data-text="send">Send</button>
        <button id="stop" type="button" class="main" data-text="stop" hidden>Stop</button>
      </div>
    </form>
    <noscript>This page needs JavaScript. Programs reach the model at /v1/chat/completions.</noscript>
    <script>\#(script)</script>
    </body>
    </html>
    """#
}
