//! Every way to write a link that is known to us, whole and cut anywhere.

use super::*;

fn whole(text: &str) -> String {
    let mut defuser = Defuser::default();
    let mut out = defuser.push(text);
    out.push_str(&defuser.finish());
    out
}

/// Cut between any two characters, the outcome is the same.
fn in_pieces(text: &str) -> String {
    let mut defuser = Defuser::default();
    let mut buffer = [0; 4];
    let mut out: String =
        text.chars().map(|character| defuser.push(character.encode_utf8(&mut buffer))).collect();
    out.push_str(&defuser.finish());
    out
}

const REMOTE_LINKS: &[&str] = &[
    "![i](https://evil.test/p?q=secret)",
    "[l](http://evil.test)",
    "[l]( <https://evil.test/a b> \"title\")",
    "[l](\n//evil.test/x)",
    "[l](\\\\evil.test)",
    "[l](/\\evil.test)",
    "[l](/&#47;evil.test)",
    "[l](&#104;ttps://evil.test)",
    "[l](h&#116;tps://evil.test)",
    "[l](https&colon;//evil.test)",
    "[l](HTTPS://evil.test)",
    "[l](http://localhost:80@evil.test)",
    "[l](http://localhost.evil.test)",
    "[l](http://127.0.0.1.evil.test/)",
    "[l](javascript:fetch('x'))",
    "[l](data:text/html,x)",
    "[l](https\\://evil.test)",
    "> - [r\n s\\]]: https://evil.test",
    "<img src=\"/\n/evil.test\">",
    "<img src=\"/\t/evil.test\">",
    "<p style=\"a: url('x') > b\" title=y><img src=//evil.test>",
    "<p style=\"url(\" class=x><img src=\"https://evil.test\">",
    "<b = '><img src=https://evil.test>",
    "<!-- <img alt=\" --><img src=https://evil.test>",
    "[r]: https://evil.test\n[r]",
    "[r]:\n   <https://evil.test>",
    "<https://evil.test>",
    "<HTTP://evil.test>",
    "<img src=\"https://evil.test\">",
    "<img alt='>' src = 'https://evil.test'>",
    "<img src=https://evil.test>",
    "<IMG SRC=//evil.test>",
    "<img\nsrc\n=\n\"\thttps://evil.test\">",
    "<img src=\"ht\ntps://evil.test\">",
    "<img srcset=\"a.png 1x, https://evil.test/b 2x\">",
    "<a class=x href='https://evil.test'>y</a>",
    "<meta http-equiv=refresh content=\"0; url=https://evil.test\">",
    "<p style=\"background: url(https://evil.test)\">",
    "<style>p { background: URL( 'https://evil.test' ) }</style>",
    "<style>@import \"https://evil.test\";</style>",
    "<svg><image xlink:href=\"https://evil.test\"/></svg>",
    "```\n```` \n![i](https://evil.test)",
    "[![i](https://evil.test/i)](https://evil.test/l)",
];

#[test]
fn p1_links_to_other_hosts_lead_nowhere() {
    for text in REMOTE_LINKS {
        let out = whole(text);
        let marks = out.matches(MARK).count();
        assert_eq!(marks, text.matches("evil.test").count().max(1), "{text} became {out}");
        assert_eq!(out.replace(MARK, ""), *text, "nothing else changes");
    }
    assert_eq!(whole("![i](https://evil.test/p)"), "![i](defused:https://evil.test/p)");
    assert_eq!(whole("<img src = '//evil.test'>"), "<img src = 'defused://evil.test'>");
    assert_eq!(whole("<https://evil.test>"), "<defused:https://evil.test>");
}

#[test]
fn p1_a_link_that_is_cut_into_pieces_is_the_same_link() {
    for text in REMOTE_LINKS.iter().chain(LOCAL_TEXTS) {
        assert_eq!(in_pieces(text), whole(text), "{text}");
    }
}

const LOCAL_TEXTS: &[&str] = &[
    "See [the notes](docs/a.md), [above](#top), [root](/), [here](/a/b?c=d#e) and [](./x.png).",
    "[api](http://localhost:11535/v1) [api](http://127.0.0.1/) [six](http://[::1]:8080/x) [e]()",
    "Fetch https://example.org/a with `requests.get(\"https://example.org\")`.",
    "auto f = [&](std::string s) { return [](auto&& x) { return x; }; }; let [a, b]: [u8; 2] = c;",
    "let v: Vec<String> = map[&key](x); if a < b && c > d { f(list[0]) } // a[0]: b",
    "src = \"https://example.org\"\nurl = 'https://example.org'",
    "<div class=\"a b\" id=x><img src=\"logo.png\" alt=\"https://example.org\"></div>",
    "SELECT a[1](x) FROM t WHERE x <> 'y' -- 日本語 🧪",
    "std::vector<std::string> x; <T: Clone>",
];

#[test]
fn what_is_local_or_plain_text_stays() {
    for text in LOCAL_TEXTS {
        assert_eq!(whole(text), *text);
    }
}

#[test]
fn little_is_held_back() {
    let mut defuser = Defuser::default();
    assert_eq!(defuser.push("text goes on at once [x]("), "text goes on at once [x](");
    assert_eq!(defuser.push("docs"), "", "perhaps a path");
    assert_eq!(defuser.push("/a.md)"), "docs/a.md)");
    assert_eq!(defuser.push("[y](ftp:/"), "[y](defused:ftp:/");
    assert_eq!(defuser.push("/x"), "/x");
    let mut endless = Defuser::default();
    let shown = endless.push(&format!("[x]({}", "a".repeat(LOCAL_LEN_MAX * 4)));
    assert!(shown.len() > LOCAL_LEN_MAX * 3, "what is held back is bounded");
    assert_eq!(Defuser::default().push("<ht"), "<");
}
