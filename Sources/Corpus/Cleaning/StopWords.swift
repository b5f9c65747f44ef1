/// Leaves out the words that every text of a language has: for classification and retrieval by words. A model that is to write
/// needs them.
package struct StopWords: Sendable {
  private let words: Set<String>
  private let phrases: [[Character]: Bool]
  private let longestPhrase: Int

  /// The codes of the languages that are known.
  package static var languages: [String] { lists.keys.sorted() }

  /// - Throws: ``CorpusError/setting(name:value:expected:)`` for a language that isn't known.
  package init(languages: [String]) throws(CorpusError) {
    var words: Set<String> = []
    var phrases: [[Character]: Bool] = [:]
    for language in languages {
      guard let list = Self.lists[language] else {
        throw .setting(
          name: "--stop-words", value: language, expected: "one of " + Self.languages.joined(separator: ", "))
      }
      for word in list.split(whereSeparator: \.isWhitespace) { words.insert(String(word)) }
    }
    if languages.contains("zh") {
      // Words of Chinese aren't set apart: what is left out is found by the longest match among both lists.
      for word in words where word.unicodeScalars.allSatisfy({ DocumentWords.isUnspaced($0.value) }) {
        phrases[Array(word)] = true
      }
      for word in Self.chineseWordsToKeep.split(whereSeparator: \.isWhitespace) { phrases[Array(String(word))] = false }
    }
    self.words = words
    self.phrases = phrases
    longestPhrase = phrases.keys.map(\.count).max() ?? 0
  }

  /// The text without them, and how many they were; the white space around them goes, too, but not line ends.
  package func removed(from text: String) -> (text: String, count: Int) {
    var result: [Character] = []
    var count = 0
    let characters = Array(text)
    var place = 0
    while place < characters.count {
      let character = characters[place]
      if longestPhrase > 0, isUnspaced(character) {
        let (length, isStop) = phrase(characters, at: place)
        if isStop { count += 1 } else { result += characters[place..<place + length] }
        place += length
        continue
      }
      guard isWordCharacter(character) else {
        result.append(character)
        place += 1
        continue
      }
      var end = place
      while end < characters.count, isWordCharacter(characters[end]), longestPhrase == 0 || !isUnspaced(characters[end])
      { end += 1 }
      // An apostrophe that ends a word is a quotation mark.
      while end > place + 1, characters[end - 1] == "'" || characters[end - 1] == "’" { end -= 1 }
      let word = String(characters[place..<end]).lowercased().replacing("’", with: "'")
      if words.contains(word) {
        count += 1
        let isAfterSpace = result.last.map(\.isWhitespace) ?? true
        if isAfterSpace, end < characters.count, characters[end] == " " { end += 1 }
      } else {
        result += characters[place..<end]
      }
      place = end
    }
    return (String(result), count)
  }

  private func phrase(_ characters: [Character], at place: Int) -> (length: Int, isStop: Bool) {
    for length in stride(from: min(longestPhrase, characters.count - place), to: 0, by: -1) {
      if let isStop = phrases[Array(characters[place..<place + length])] { return (length, isStop) }
    }
    return (1, false)
  }

  private func isWordCharacter(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "'" || character == "’"
  }

  private func isUnspaced(_ character: Character) -> Bool {
    character.unicodeScalars.first.map { DocumentWords.isUnspaced($0.value) } ?? false
  }

  // MARK: Lists

  private static let lists: [String: String] = [
    "en": """
    a about above after again against all also although always am among an and any are aren't around as at be because been before
    being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done down during each
    either else ever every few for from further had hadn't has hasn't have haven't having he he'd he'll he's her here here's hers
    herself him himself his how how's however i i'd i'll i'm i've if in into is isn't it it's its itself just let's may me might more
    most must mustn't my myself neither no nor not of off often on once only or other ought our ours ourselves out over own perhaps
    rather same shall shan't she she'd she'll she's should shouldn't since so some still such than that that's the their theirs them
    themselves then there there's therefore these they they'd they'll they're they've this those though through thus to too under
    until up upon us very was wasn't we we'd we'll we're we've were weren't what what's when when's where where's whether which while
    who who's whom whose why why's will with within without won't would wouldn't yet you you'd you'll you're you've your yours
    yourself yourselves
    """,
    "de": """
    aber als also am an auch auf aus bei bin bis bist da damit dann das dass dein deine dem den denn der des dich die dies diese
    diesem diesen dieser dieses dir doch dort du durch ein eine einem einen einer eines er es etwas euch euer eure für gegen hab habe
    haben hat hatte hatten hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder
    jedes jene kann kein keine keinen können könnte machen man mehr mein meine mich mir mit muss nach nicht nichts noch nun nur ob
    oder ohne schon sehr sein seine seinem seinen seiner selbst sich sie sind so solche soll sollte sondern sonst über um und uns
    unser unsere unter viel vom von vor war waren warum was weil weiter welche welcher wenn wer werde werden wie wieder will wir wird
    wo wollen würde würden zu zum zur zwar zwischen
    """,
    "es": """
    a al algo algunas algunos ante antes como con contra cual cuando de del desde donde durante e el él ella ellas ellos en entre era
    eran es esa esas ese eso esos esta está estaba estado están estar estas este esto estos fue fueron ha había habían han has hasta
    hay he la las le les lo los más me mi mis mientras mucho muchos muy nada ni no nos nosotros nuestra nuestro o os otra otro otros
    para pero poco por porque qué que quien quienes se sea ser si sí sido sin sobre son su sus también tanto te tenía tener tengo ti
    tiene tienen todo todos tu tus un una uno unos y ya yo
    """,
    "fr": """
    à ai alors après as au aucun aussi autre aux avait avant avec avez avoir avons bien c'est car ce cela ces cet cette ceux chaque
    chez comme comment d dans de depuis des deux donc dont du elle elles en encore entre est et étaient était été être eu fait faire
    il ils j je jusqu l la là le les leur leurs lui m ma mais me même mes moi moins mon n ne ni nos notre nous on ont ou où par parce
    pas pendant peu peut plus pour pourquoi qu quand que quel quelle quelques qui s sa sans se sera ses si son sont sous sur t ta te
    tes toi ton tous tout toute toutes très tu un une vers vos votre vous y
    """,
    "it": """
    a ad ai al alla alle allo anche ancora avere aveva c che chi ci come con contro cosa cui da dal dalla dalle de degli dei del
    della delle dello di dove e è ed era erano essere fa fra gli ha hanno ho i il in io l la le lei lo loro lui ma me mi mia mio molto
    ne nei nel nella nelle no noi non nostra nostro o ogni per perché più poi può qual quale quando quella quelle quelli quello questa
    queste questi questo qui se sei senza si sia sono sta su sua sue sugli sul sulla suo suoi te ti tra tu tua tuo tutti tutto un una
    uno vi voi
    """,
    "pt": """
    a à ao aos as às até com como da das de dela dele deles depois do dos e é ela elas ele eles em entre era eram essa esse esta está
    estão estar este estes eu foi foram há isso isto já lhe mais mas me mesmo meu meus minha muito na não nas nem no nos nós nossa
    nosso num numa o os ou para pela pelas pelo pelos por porque qual quando que quem são se sem ser será seu seus só sua suas também
    te tem têm tinha tu tua um uma você vocês
    """,
    "ru": """
    а без более больше будет будто бы был была были было быть в вам вас ведь во вот впрочем все всегда всего всех всю вы где да даже
    два для до другой его ее ей ему если есть еще ж же за здесь и из или им иногда их к как какая какой когда конечно кто куда ли
    лучше между меня мне много может можно мой моя мы на над надо наконец нас не него нее ней нельзя нет ни нибудь никогда ним них
    ничего но ну о об один он она они опять от перед по под после потом потому почти при про раз разве с сам свою себе себя сейчас со
    совсем так такой там тебя тем теперь то тогда того тоже только том тот три тут ты у уж уже хорошо хоть чего чем через что чтобы
    чуть эти этого этой этом этот эту я
    """,
    "zh": """
    的 了 在 是 我 有 和 就 不 人 都 一 一个 上 也 很 到 说 要 去 你 会 着 没有 看 好 自己 这 那 他 她 它 们 我们 你们 他们 她们 它们 这个 那个 这些
    那些 这里 那里 这样 那样 这么 那么 什么 怎么 怎样 怎么样 为什么 哪 哪里 哪些 谁 多少 几 与 及 以及 或 或者 而 而且 并 并且 但 但是 可是 不过 然而
    因为 所以 因此 因而 由于 如果 假如 要是 即使 虽然 尽管 只要 只有 除非 无论 不管 为了 对于 关于 至于 按照 根据 通过 随着 作为 从 向 往 朝 对 把
    被 让 给 使 用 以 于 由 自 当 之 其 其中 其他 其它 某 某些 每 各 各种 所 所有 任何 一些 一种 一样 一直 一般 已 已经 曾 曾经 正 正在 将 将要 还
    还是 还有 又 再 再次 更 更加 最 太 非常 十分 比较 特别 尤其 只 只是 仅 仅仅 才 刚 刚才 便 即 则 若 却 乃 吗 呢 吧 啊 呀 哦 嘛 啦 哈 嗯 唉 得 地
    过 来 能 能够 可 可以 可能 应 应该 应当 必须 需要 想 想要 愿意 等 等等 例如 比如 譬如 即是 就是 也是 不是 而是 于是 然后 接着 最后 首先 其次 另外
    此外 同时 之后 之前 以后 以前 之间 里 里面 中 内 外 下 前 后 時 這 那個 這個 這些 那裡 這裡 們 我們 你們 他們 她們 沒有 說 會 著 與 為 為了 為什麼
    什麼 怎麼 因為 雖然 儘管 無論 對於 關於 從 對 讓 給 還 還是 還有 將 過 來 應該 應當 後 裡 裡面 於是 然後
    """,
  ]

  /// Words with characters that alone, or in other pairs, would be left out.
  private static let chineseWordsToKeep = """
    目的 的确 的士 了解 了不起 了结 不同 不足 不断 不良 不幸 不安 人民 人类 人口 人员 人们 工人 个人 人工 人生 人物 人才 一致 一旦 统一 上海 上级 上升 上学 上班
    上市 上涨 晚上 早上 说明 说话 小说 传说 学说 重要 主要 需要 要求 要点 过去 去年 去世 社会 会议 机会 协会 会计 大会 看法 看见 好处 友好 爱好 美好 中国 中心
    中央 中间 中学 中文 集中 中华 国内 内容 内部 国外 外国 外交 外部 地方 地区 地球 土地 地位 地址 地图 各地 当地 基地 天下 下午 下降 以下 地下 前进 前途 目前
    提前 后来 后果 最后通牒 过程 经过 通过率 超过 来自 未来 来源 将来 本来 功能 能力 能源 智能 性能 可爱 认可 许可 应用 反应 供应 适应 使用 大使 利用 作用 用户
    费用 信用 用途 以为 行为 作为人 成为 认为 因素 原因 对象 反对 对比 对话 绝对 相对 方向 向导 把握 被告 给予 供给 自由 自然 自治 理由 由来 于今 等级 平等 高等
    等待 思想 理想 想象 想法 正式 正确 改正 正常 真正 正义 将军 还原 偿还 再见 更新 变更 更换 最高 最大 太阳 太空 只身 即将 立即 规则 原则 否则 得到 取得 获得
    心得 得分 里程 公里 故里 和平 和谐 总和 共和国 温和 就业 成就 就职 在线 存在 现在 所在 研究所 场所 厕所 所得 是非 有效 有限 所有权 拥有 有关 有利 国有 与会
    参与 及时 及格 普及 以及格 而立 并列 合并 但愿 几乎 几何 谁知 某人 每天 每年 各国 各自 当时 当前 当然 应当前 之一 其实 尤其是 都市 首都 很多 到达 达到 得到
    到处 哪怕 着急 穿着 看着 着手 着重 他人 她人 自己人 我国 你好 您好 好人 好像 刚刚 才能 人才 天才 才华 便宜 方便 便利 即时 若干 却步 曾祖 已知 已婚 而今
    """
}
