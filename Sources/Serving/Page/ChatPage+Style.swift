extension ChatPage {
  package static let style = #"""
    :root {
      --page: #fbfaf7; --ink: #1d2022; --quiet: #5b6266; --line: #d9d6ce; --edge: #8f8c84; --field: #ffffff;
      --mine: #e4eee9; --accent: #1b6a58; --on-accent: #ffffff; --wrong: #8f2f1d; --wrong-page: #fbe9e4;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #15181a; --ink: #e7e6e2; --quiet: #a3aaac; --line: #363c3f; --edge: #6a7175; --field: #1d2123;
        --mine: #22342e; --accent: #7fcdb5; --on-accent: #0d1f1a; --wrong: #f3b3a4; --wrong-page: #3a211c;
      }
    }
    * { box-sizing: border-box; }
    [hidden] { display: none !important; }
    html, body { height: 100%; margin: 0; }
    body {
      display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr); height: 100dvh;
      background: var(--page); color: var(--ink); font: 1rem/1.55 system-ui, "Noto Sans", sans-serif;
    }
    header, form { width: 100%; max-width: 48rem; margin: 0 auto; padding: .75rem 1rem; }
    header { display: flex; align-items: center; gap: .5rem; position: relative; }
    h1 {
      flex: 1; min-width: 0; margin: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
      font-size: 1.05rem;
    }
    h1 span { margin-left: .35rem; color: var(--quiet); font-weight: 400; }
    button, summary {
      padding: .45rem .85rem; border: 1px solid var(--line); border-radius: .6rem; background: var(--field);
      color: var(--ink); font: inherit; cursor: pointer; white-space: nowrap;
    }
    button:hover, summary:hover { border-color: var(--accent); }
    .main { border-color: var(--accent); background: var(--accent); color: var(--on-accent); font-weight: 600; }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    main:focus-visible, textarea:focus-visible { outline-offset: -2px; }
    summary { list-style: none; }
    summary::-webkit-details-marker { display: none; }
    summary::after { content: " ▾"; color: var(--quiet); }
    details[open] summary::after { content: " ▴"; }
    .panel {
      position: absolute; z-index: 1; right: 1rem; top: 100%; width: min(23rem, 100vw - 2rem); padding: 1rem;
      display: grid; grid-template-columns: 1fr 8rem; align-items: center; gap: .25rem .75rem;
      border: 1px solid var(--line); border-radius: .6rem; background: var(--field);
      box-shadow: 0 .5rem 1.5rem rgb(0 0 0 / .18);
    }
    .panel small { grid-column: 1 / -1; margin-bottom: .5rem; color: var(--quiet); }
    .panel small:last-child { margin-bottom: 0; }
    input, textarea {
      width: 100%; padding: .5rem .7rem; border: 1px solid var(--edge); border-radius: .6rem;
      background: var(--field); color: var(--ink); font: inherit;
    }
    main { overflow-y: auto; overscroll-behavior: contain; padding: .5rem max(1rem, (100% - 46rem) / 2); }
    #welcome { margin: 16vh auto 0; max-width: 40rem; text-align: center; color: var(--quiet); }
    #welcome p { margin: .4rem 0; text-wrap: balance; }
    .large { color: var(--ink); font-size: 1.4rem; }
    article { margin: 0 0 1.25rem; }
    article h2 { margin: 0 0 .15rem; color: var(--quiet); font-size: .8rem; font-weight: 600; }
    article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
    .user { width: fit-content; max-width: 85%; margin-left: auto; }
    .user h2 { text-align: right; }
    .user p { padding: .5rem .85rem; border-radius: .9rem; background: var(--mine); }
    [aria-busy="true"] p::after { content: "▍"; color: var(--accent); animation: blink 1.2s steps(2) infinite; }
    @keyframes blink { 50% { opacity: .15; } }
    @media (prefers-reduced-motion: reduce) { [aria-busy="true"] p::after { animation: none; } }
    .under {
      display: flex; align-items: center; gap: .75rem; margin-top: .4rem; color: var(--quiet); font-size: .85rem;
    }
    .under button { padding: .15rem .6rem; font-size: .85rem; }
    #status { min-height: 1.4em; margin: 0 0 .3rem; color: var(--quiet); font-size: .85rem; line-height: 1.4; }
    .wrong {
      display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; margin-bottom: .6rem; padding: .6rem .85rem;
      border-radius: .6rem; background: var(--wrong-page); color: var(--wrong);
    }
    .wrong p { flex: 1 1 14rem; margin: 0; overflow-wrap: anywhere; }
    .row { display: flex; align-items: flex-end; gap: .5rem; }
    .row button { padding-block: .5rem; }
    textarea { flex: 1; max-height: 40vh; resize: none; }
    textarea::placeholder { color: var(--quiet); opacity: 1; }
    noscript { padding: 1rem; }
    """#
}
