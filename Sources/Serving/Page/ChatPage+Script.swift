extension ChatPage {
  /// Every text from people or the model is put in as text, never as HTML.
  package static let script = #"""
    "use strict";
    const words = {
      en: {
        settings: "Settings", temperature: "Temperature", temperatureHelp: "0 always takes the likeliest word",
        length: "Longest answer", lengthHelp: "in tokens (¾ of a word each); empty: what fits",
        seed: "Seed", seedHelp: "empty: another answer each time",
        key: "Key", keyHelp: "where the service asks for one",
        new: "New", send: "Send", stop: "Stop",
        copy: "Copy", copied: "Copied",
        conversation: "Conversation", message: "Your message", you: "You", model: "Model",
        welcome: "What would you like to talk about?",
        keys: "Enter sends, Shift+Enter begins a new line, Escape stops an answer.",
        here: "The model runs on this machine. What you write doesn't leave it.",
        there: host => `The model runs on ${host}. What you write goes there and nowhere else.`,
        waiting: "The model reads …", writing: "The model writes … Escape stops it.", done: "The answer is complete.",
        stopped: "Stopped.", cut: "Cut off at the longest answer: raise it in the settings, or ask to go on.",
        full: "Cut off where the model can read no more. Begin a new conversation to go on.",
        empty: "The model had nothing to say. Ask in other words, or change the seed.",
        takenBack: "What you wrote is in the field again.",
        tooLong: "The conversation is now longer than the model can read. Nothing was left out silently: " +
          "begin a new one, or shorten your message or the longest answer.",
        noKey: "The service asks for a key. Put it into the settings, then send again.",
        busy: "The service is busy: others are waiting already. Send again in a moment.",
        away: "The service is starting or stopping. Send again in a moment.",
        lost: "The connection to the service is lost. See whether it still runs, then send again.",
        failed: (status, text) => `The service answered with an error (${status}): ${text}`,
      },
      zh: {
        settings: "设置", temperature: "温度", temperatureHelp: "0 表示总是选最可能的词",
        length: "最长回答", lengthHelp: "以词元（token）计，留空则不限",
        seed: "随机种子", seedHelp: "留空则每次回答不同",
        key: "密钥", keyHelp: "仅在服务要求时填写",
        new: "新对话", send: "发送", stop: "停止", copy: "复制", copied: "已复制",
        conversation: "对话", message: "您的消息", you: "您", model: "模型",
        welcome: "想聊些什么？",
        keys: "Enter 发送，Shift+Enter 换行，Esc 停止回答。",
        here: "模型就在这台机器上运行，您写的内容不会离开它。",
        there: host => `模型在 ${host} 上运行，您写的内容只会发送到那里。`,
        waiting: "模型正在阅读……", writing: "模型正在书写……按 Esc 停止。", done: "回答完毕。",
        stopped: "已停止。", cut: "已达到最长回答：请在设置中调大，或请模型继续。",
        full: "已达到模型能读的长度。请开始新对话再继续。",
        empty: "模型没有给出内容。请换个说法，或更换随机种子。",
        takenBack: "您写的内容已放回输入框。",
        tooLong: "对话已超出模型能读的长度。没有悄悄丢弃任何内容：请开始新对话，或缩短消息或最长回答。",
        noKey: "服务需要密钥：请在设置中填写，然后再发送。",
        busy: "服务正忙，已有其他请求在等待。请稍后再发送。",
        away: "服务正在启动或停止。请稍后再发送。",
        lost: "与服务的连接已断开。请确认服务仍在运行，然后再发送。",
        failed: (status, text) => `服务返回错误（${status}）：${text}`,
      },
    };
    const isChinese = navigator.language.toLowerCase().startsWith("zh");
    const say = isChinese ? words.zh : words.en;
    document.documentElement.lang = isChinese ? "zh" : "en";
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = say[element.dataset.text];
    for (const element of document.querySelectorAll("[data-label]"))
      element.setAttribute("aria-label", say[element.dataset.label]);

    const at = id => document.getElementById(id);
    const [log, input, settings, statusLine] = [at("log"), at("input"), at("settings"), at("status")];
    input.placeholder = say.message;
    const isHere = /^(localhost|127\..*|\[::1\])$/.test(location.hostname);
    at("place").textContent = isHere ? say.here : say.there(location.host);

    let model = "";
    let conversation = [];  // the messages of the conversation, as the service takes them
    let answering = null;   // the AbortController of the answer in the making

    function element(tag, text, className) {
      const made = document.createElement(tag);
      if (text) made.textContent = text;
      if (className) made.className = className;
      return made;
    }

    // --- The conversation as it is seen ---

    // Who reads the end of the conversation goes on seeing it when the room for it changes.
    let [isAtEnd, height] = [true, log.clientHeight];
    log.addEventListener("scroll", () => {
      if (log.clientHeight === height) isAtEnd = log.scrollHeight - log.scrollTop - height < 40;
    });
    new ResizeObserver(() => {
      height = log.clientHeight;
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    }).observe(log);

    function showMessage(role, text) {
      at("welcome").hidden = true;
      const article = element("article", "", role);
      const body = element("p");
      body.dir = "auto";
      body.append(document.createTextNode(text));
      article.append(element("h2", role === "user" ? say.you : say.model), body);
      log.append(article);
      log.scrollTop = log.scrollHeight;
      return article;
    }

    function appendText(article, text) {
      article.querySelector("p").firstChild.appendData(text);
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    }

    function finishAnswer(article, text, note) {
      article.setAttribute("aria-busy", "false");
      const under = element("div", "", "under");
      const copy = element("button", say.copy);
      copy.type = "button";
      copy.addEventListener("click", async () => {
        await copyText(text);
        copy.textContent = say.copied;
        setTimeout(() => { copy.textContent = say.copy; }, 1500);
      });
      under.append(copy);
      if (note) under.append(element("span", note));
      article.append(under);
      log.scrollTop = log.scrollHeight;
    }

    async function copyText(text) {
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        // Browsers lend the clipboard to https and to this machine only: over a plain network, the old way.
        const field = element("textarea");
        field.value = text;
        document.body.append(field);
        field.select();
        document.execCommand("copy");
        field.remove();
      }
    }

    function showError(text, offersNew) {
      const box = element("div", "", "wrong");
      box.append(element("p", text));
      if (offersNew) {
        const button = element("button", say.new);
        button.type = "button";
        button.addEventListener("click", startAnew);
        box.append(button);
      }
      at("alert").replaceChildren(box);
    }

    // --- Asking ---

    class ServiceError extends Error {
      constructor(status, body) {
        super(body?.error?.message ?? "");
        this.isTooLong = body?.error?.code === "context_length_exceeded";
        this.words = this.isTooLong ? say.tooLong : status === 401 ? say.noKey : status === 429 ? say.busy
          : status === 503 ? say.away : say.failed(status, this.message);
      }
    }

    function number(id) {
      const value = at(id).valueAsNumber;
      return Number.isNaN(value) ? undefined : value;
    }

    function headers() {
      const key = at("key").value.trim();
      return { "Content-Type": "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
    }

    // Server-sent events: the data of each, one after the other.
    async function* events(response) {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        buffer += value;
        const lines = buffer.split(/\r?\n/);
        buffer = lines.pop();
        for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
      }
    }

    // The pieces of an answer as they come; returns why it ended.
    async function* ask(messages, signal) {
      const response = await fetch("/v1/chat/completions", {
        method: "POST", signal, headers: headers(),
        body: JSON.stringify({
          model, messages, stream: true,
          temperature: number("temperature"), max_tokens: number("length"), seed: number("seed"),
        }),
      });
      if (!response.ok) throw new ServiceError(response.status, await response.json().catch(() => null));
      let reason = null;
      for await (const data of events(response)) {
        if (data === "[DONE]") return reason;
        const event = JSON.parse(data);
        if (event.error) throw new ServiceError(response.status, event);
        const choice = event.choices?.[0];
        if (choice?.delta?.content) yield choice.delta.content;
        reason = choice?.finish_reason ?? reason;
      }
      if (reason === null) throw new TypeError("the stream ended before the answer did");
      return reason;
    }

    async function send() {
      const question = input.value;
      if (answering || !question.trim()) return;
      const controller = answering = new AbortController();
      const asked = showMessage("user", question);
      const answer = showMessage("assistant", "");
      answer.setAttribute("aria-busy", "true");
      const messages = [...conversation, { role: "user", content: question }];
      setInput("");
      at("alert").replaceChildren();
      setBusy(true);
      let [text, failure, reason] = ["", null, null];
      try {
        const pieces = ask(messages, controller.signal);
        for (;;) {
          const { value, done } = await pieces.next();
          if (done) { reason = value; break; }
          // A space stands between a template's words and the answer.
          const piece = text ? value : value.trimStart();
          text += piece;
          appendText(answer, piece);
          statusLine.textContent = say.writing;
        }
      } catch (error) {
        failure = error;
      }
      if (answering !== controller) return;  // "New" was pressed meanwhile
      const wasStopped = controller.signal.aborted;
      const note = wasStopped ? say.stopped : reason !== "length" ? "" : number("length") ? say.cut : say.full;
      answering = null;
      setBusy(false);
      if (text) {
        conversation = [...messages, { role: "assistant", content: text }];
        finishAnswer(answer, text, note);
      } else {
        // Nothing came: the question is taken back, so that it can be sent again.
        asked.remove();
        answer.remove();
        at("welcome").hidden = conversation.length > 0;
        if (!input.value) setInput(question);
      }
      statusLine.textContent = text ? (failure || note ? "" : say.done) : wasStopped ? say.stopped : "";
      if (!wasStopped && (failure || !text)) {
        const what = failure instanceof ServiceError ? failure.words : failure ? say.lost : say.empty;
        showError(text ? what : what + " " + say.takenBack, failure?.isTooLong);
      }
    }

    function stop() {
      answering?.abort();
    }

    function startAnew() {
      answering?.abort();
      answering = null;
      conversation = [];
      for (const article of log.querySelectorAll("article")) article.remove();
      at("welcome").hidden = false;
      at("alert").replaceChildren();
      setBusy(false);
      statusLine.textContent = "";
      input.focus();
    }

    function setBusy(isBusy) {
      const [shown, gone] = isBusy ? [at("stop"), at("send")] : [at("send"), at("stop")];
      const losesFocus = document.activeElement === gone;
      shown.hidden = false;
      gone.hidden = true;
      if (losesFocus) input.focus();
      if (isBusy) statusLine.textContent = say.waiting;
    }

    function setInput(text) {
      input.value = text;
      fitInput();
    }

    function fitInput() {
      input.style.height = "auto";
      input.style.height = `${input.scrollHeight + 2}px`;
    }

    // --- Keys and buttons ---

    input.addEventListener("keydown", event => {
      // Enter that chooses a word of an input method (229 in some browsers) sends nothing.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      send();
    });
    document.addEventListener("keydown", event => {
      if (event.key !== "Escape" || event.isComposing) return;
      if (answering) {
        stop();
      } else if (settings.open) {
        settings.open = false;
        settings.querySelector("summary").focus();
      }
    });
    settings.addEventListener("change", event => {
      if (!event.target.checkValidity()) event.target.value = event.target.defaultValue;
    });
    input.addEventListener("input", fitInput);
    at("form").addEventListener("submit", event => { event.preventDefault(); send(); });
    at("stop").addEventListener("click", stop);
    at("new").addEventListener("click", startAnew);

    async function greet() {
      try {
        const response = await fetch("/v1/models", { headers: headers() });
        const answer = await response.json();
        if (!response.ok) throw new ServiceError(response.status, answer);
        model = answer.data[0].id;
        at("model").textContent = model;
        document.title = `${model} · Mayfly`;
        at("alert").replaceChildren();
      } catch (error) {
        showError(error instanceof ServiceError ? error.words : say.lost, false);
      }
    }
    at("key").addEventListener("change", greet);
    greet();
    input.focus();
    """#
}
