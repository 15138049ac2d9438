"""The ollama client from PyPI against a live node, as editors and scripts use it.

Run by node/e2e/tests/it/clients.rs, which says where the node is: CROFT_BASE and CROFT_KEY.
"""

import os
import unittest

import ollama

QUESTION = "test that add(2, 3) is 5"
ANSWER = "assert_eq!(add(2, 3), 5);"
CLIENT = ollama.Client(
    host=os.environ["CROFT_BASE"], headers={"authorization": "Bearer " + os.environ["CROFT_KEY"]}
)
MESSAGES = [{"role": "user", "content": QUESTION}]


class Discovery(unittest.TestCase):
    def test_list(self):
        models = CLIENT.list().models
        self.assertIn("chat", [model.model for model in models])
        for model in models:
            self.assertEqual(model.details.format, "gguf")
            self.assertGreater(model.size, 0)
            self.assertEqual(len(model.digest), 64)

    def test_show(self):
        shown = CLIENT.show("chat")
        self.assertIn("completion", shown.capabilities)
        self.assertIn("embedding", shown.capabilities)
        self.assertIn("insert", shown.capabilities)
        self.assertEqual(shown.details.quantization_level, "Q8_0")
        self.assertRegex(shown.details.parameter_size, r"^[0-9.]+[BMK]$")
        self.assertNotIn("unknown", shown.model_dump_json())
        family = shown.modelinfo["general.architecture"]
        self.assertGreater(shown.modelinfo[family + ".context_length"], 0)

    def test_ps(self):
        processes = CLIENT.ps().models
        self.assertEqual(len(processes), 1)
        self.assertGreater(processes[0].context_length, 0)


class Answers(unittest.TestCase):
    def test_chat(self):
        answer = CLIENT.chat("chat", MESSAGES, options={"temperature": 0})
        self.assertEqual(answer.message.content, ANSWER)
        self.assertTrue(answer.done)
        self.assertEqual(answer.done_reason, "stop")
        self.assertGreater(answer.eval_count, 0)
        self.assertGreaterEqual(answer.total_duration, answer.eval_duration)

    def test_chat_stream(self):
        parts = list(CLIENT.chat("chat", MESSAGES, stream=True, options={"temperature": 0}, keep_alive=-1))
        self.assertEqual("".join(part.message.content or "" for part in parts), ANSWER)
        self.assertEqual([part.done for part in parts], [False] * (len(parts) - 1) + [True])

    def test_generate(self):
        answer = CLIENT.generate("chat", QUESTION, options={"temperature": 0})
        self.assertEqual(answer.response, ANSWER)

    def test_generate_stream_raw(self):
        options = {"temperature": 0, "num_predict": 4}
        parts = list(CLIENT.generate("chat", "fn add(", raw=True, stream=True, options=options))
        self.assertEqual((parts[-1].eval_count, parts[-1].done_reason), (4, "length"))

    def test_generate_between_two_texts(self):
        answer = CLIENT.generate("complete", "fn add(a: i32) {", suffix="}", options={"num_predict": 8})
        self.assertGreater(answer.eval_count, 0)

    def test_generate_nothing_is_a_wish_to_load(self):
        self.assertEqual(CLIENT.generate("chat").done_reason, "load")


class Embeddings(unittest.TestCase):
    def test_embed(self):
        answer = CLIENT.embed("embed", ["fn add(a: i32)", "regex"], keep_alive="5m")
        self.assertEqual(len(answer.embeddings), 2)
        self.assertAlmostEqual(sum(number * number for number in answer.embeddings[0]), 1, places=3)
        self.assertGreater(answer.prompt_eval_count, 0)
        self.assertEqual(len(CLIENT.embed("embed", "x", dimensions=8).embeddings[0]), 8)

    def test_older_form(self):
        older = CLIENT.embeddings("embed", "fn add(a: i32)").embedding
        newer = CLIENT.embed("embed", "fn add(a: i32)").embeddings[0]
        self.assertEqual(len(older), len(newer))

    def test_too_long_is_cut_unless_told_not_to(self):
        long = "let x = 1; " * 20_000
        self.assertEqual(len(CLIENT.embed("embed", long).embeddings), 1)
        with self.assertRaises(ollama.ResponseError) as caught:
            CLIENT.embed("embed", long, truncate=False)
        self.assertEqual(caught.exception.status_code, 400)


class Refusals(unittest.TestCase):
    def refused(self, status, call):
        with self.assertRaises(ollama.ResponseError) as caught:
            call()
        self.assertEqual(caught.exception.status_code, status, caught.exception)
        return caught.exception.error

    def test_models_are_managed(self):
        for call in [
            lambda: CLIENT.pull("llama3"),
            lambda: list(CLIENT.pull("llama3", stream=True)),
            lambda: CLIENT.push("chat"),
            lambda: CLIENT.create("mine", from_="chat"),
            lambda: CLIENT.copy("chat", "mine"),
            lambda: CLIENT.delete("chat"),
        ]:
            self.assertIn("managed by your organization", self.refused(403, call))

    def test_unknown_model(self):
        self.refused(404, lambda: CLIENT.chat("llama3", MESSAGES))
        self.refused(404, lambda: CLIENT.show("llama3"))

    def test_unsupported_names_the_field(self):
        self.assertIn("think", self.refused(400, lambda: CLIENT.chat("chat", MESSAGES, think=True)))
        self.assertIn("template", self.refused(400, lambda: CLIENT.generate("chat", "x", template="{{ .Prompt }}")))

    def test_unsupported_before_a_stream(self):
        self.assertIn("think", self.refused(400, lambda: list(CLIENT.chat("chat", MESSAGES, think=True, stream=True))))


if __name__ == "__main__":
    unittest.main()
