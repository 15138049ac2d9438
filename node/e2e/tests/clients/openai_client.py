"""The openai client from PyPI against a live node, as editors and scripts use it.

Run by node/e2e/tests/it/clients.rs, which says where the node is: CROFT_BASE, CROFT_KEY, and CROFT_STRANGER=1 where
this process is nobody that the node knows by its account.
"""

import os
import unittest

import openai

BASE = os.environ["CROFT_BASE"] + "/v1"
KEY = os.environ["CROFT_KEY"]
QUESTION = "test that add(2, 3) is 5"
ANSWER = "assert_eq!(add(2, 3), 5);"


def client(key=KEY, **options):
    return openai.OpenAI(base_url=BASE, api_key=key, max_retries=0, **options)


def asked(**more):
    return {"model": "chat", "temperature": 0, "messages": [{"role": "user", "content": QUESTION}], **more}


class Models(unittest.TestCase):
    def test_list(self):
        ids = [model.id for model in client().models.list()]
        self.assertIn("starter", ids)
        self.assertIn("chat", ids)

    def test_retrieve(self):
        self.assertEqual(client().models.retrieve("chat").id, "chat")
        with self.assertRaises(openai.NotFoundError) as caught:
            client().models.retrieve("gpt-9")
        self.assertEqual(caught.exception.code, "E-MODEL-UNKNOWN")

    def test_list_without_a_key(self):
        self.assertTrue(client("made-up").models.list().data)


class Chat(unittest.TestCase):
    def test_whole(self):
        answer = client().chat.completions.create(**asked(max_tokens=64))
        self.assertEqual(answer.choices[0].message.content, ANSWER)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_length(self):
        answer = client().chat.completions.create(**asked(max_completion_tokens=2))
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 2)

    def test_stream_with_usage(self):
        chunks = list(client().chat.completions.create(**asked(stream=True, stream_options={"include_usage": True})))
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), ANSWER)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)

    def test_stream_without_usage(self):
        chunks = list(client().chat.completions.create(**asked(stream=True)))
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_parts_of_text(self):
        parts = [{"type": "text", "text": "test that "}, {"type": "text", "text": "add(2, 3) is 5"}]
        answer = client().chat.completions.create(**asked() | {"messages": [{"role": "user", "content": parts}]})
        self.assertEqual(answer.choices[0].message.content, ANSWER)

    def test_stop(self):
        answer = client().chat.completions.create(**asked(stop=["(2"]))
        self.assertEqual(answer.choices[0].message.content, "assert_eq!(add")

    def test_a_stream_left_early_leaves_room(self):
        for _ in range(8):
            with client().chat.completions.create(**asked(stream=True)) as stream:
                next(iter(stream))
        self.assertEqual(client().chat.completions.create(**asked()).choices[0].message.content, ANSWER)


class Completions(unittest.TestCase):
    def test_whole(self):
        answer = client().completions.create(model="complete", prompt="fn add(", max_tokens=4, temperature=0)
        self.assertEqual(answer.object, "text_completion")
        self.assertEqual(answer.usage.completion_tokens, 4)

    def test_stream(self):
        stream = client().completions.create(
            model="complete", prompt="fn add(", max_tokens=4, temperature=0, stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
        text = "".join(c.choices[0].text for c in chunks if c.choices)
        whole = client().completions.create(model="complete", prompt="fn add(", max_tokens=4, temperature=0)
        self.assertEqual(text, whole.choices[0].text)
        self.assertEqual(chunks[-1].usage.completion_tokens, 4)


    def test_suffix(self):
        prompt = "fn add(a: i32, b: i32) -> i32 {\n    "
        answer = client().completions.create(model="complete", prompt=prompt, suffix="\n}\n", max_tokens=8)
        self.assertEqual(answer.object, "text_completion")
        self.assertGreater(answer.usage.completion_tokens, 0)


class Embeddings(unittest.TestCase):
    TEXTS = ["fn add(a: i32, b: i32)", "regex for a date", "fn add(a: i32, c: i32)"]

    def vectors(self, **more):
        answer = client().embeddings.create(model="embed", input=self.TEXTS, **more)
        self.assertEqual([item.index for item in answer.data], [0, 1, 2])
        self.assertGreater(answer.usage.prompt_tokens, 0)
        self.assertEqual(answer.usage.prompt_tokens, answer.usage.total_tokens)
        return [item.embedding for item in answer.data]

    def test_batch(self):
        vectors = self.vectors()
        for vector in vectors:
            self.assertAlmostEqual(sum(number * number for number in vector), 1, places=3)
        near, far = (sum(a * b for a, b in zip(vectors[0], vectors[n])) for n in (2, 1))
        self.assertGreater(near, far)

    def test_either_encoding(self):
        # Without a word the client asks for Base64, and decodes it.
        for coded, plain in zip(self.vectors(), self.vectors(encoding_format="float")):
            for a, b in zip(coded, plain, strict=True):
                self.assertAlmostEqual(a, b, places=5)

    def test_dimensions(self):
        for vector in self.vectors(dimensions=16):
            self.assertEqual(len(vector), 16)
            self.assertAlmostEqual(sum(number * number for number in vector), 1, places=3)
        with self.assertRaises(openai.BadRequestError):
            self.vectors(dimensions=60000)

    def test_more_texts_than_one_frame_takes(self):
        texts = [f"let x{n} = {n};" for n in range(300)]
        answer = client().embeddings.create(model="embed", input=texts)
        self.assertEqual([item.index for item in answer.data], list(range(300)))

    def test_refusals(self):
        for asked in [{"input": ""}, {"input": []}, {"input": [1, 2]}, {"input": "x " * 100_000}]:
            with self.subTest(str(asked)[:30]), self.assertRaises(openai.BadRequestError):
                client().embeddings.create(model="embed", **asked)


class Errors(unittest.TestCase):
    def test_unknown_model(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            client().chat.completions.create(**asked() | {"model": "gpt-9"})
        self.assertEqual(caught.exception.status_code, 404)
        self.assertEqual(caught.exception.code, "E-MODEL-UNKNOWN")

    @unittest.skipUnless(os.environ.get("CROFT_STRANGER") == "1", "the account itself is known")
    def test_wrong_key(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            client("made-up").chat.completions.create(**asked())
        self.assertEqual(caught.exception.status_code, 401)
        self.assertEqual(caught.exception.code, "E-CALLER-UNKNOWN")

    def test_unsupported_names_the_field(self):
        for name, value in {"n": 2, "modalities": ["text", "audio"]}.items():
            with self.subTest(name), self.assertRaises(openai.BadRequestError) as caught:
                client().chat.completions.create(**asked(**{name: value}))
            self.assertEqual(caught.exception.code, "E-REQUEST-UNSUPPORTED")
            self.assertEqual(caught.exception.param, name)
            self.assertIn(name, caught.exception.message)

    def test_invalid_names_the_field(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            client().chat.completions.create(**asked(temperature=-1))
        self.assertEqual((caught.exception.code, caught.exception.param), ("E-REQUEST-INVALID", "temperature"))

    def test_unsupported_before_a_stream(self):
        with self.assertRaises(openai.BadRequestError):
            client().chat.completions.create(**asked(stream=True, n=2))

    def test_no_such_endpoint(self):
        with self.assertRaises(openai.NotFoundError):
            client().moderations.create(input="x")

    def test_other_apis_say_where_to_go(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            client().responses.create(model="chat", input=QUESTION)
        self.assertIn("client.chat.completions.create", caught.exception.message)
        without = openai.OpenAI(base_url=os.environ["CROFT_BASE"], api_key=KEY, max_retries=0)
        with self.assertRaises(openai.NotFoundError) as caught:
            without.chat.completions.create(**asked())
        self.assertIn("ends in /v1", caught.exception.message)

    def test_an_image_is_refused_by_its_place(self):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        parts = [{"type": "text", "text": "what is this?"}, image]
        with self.assertRaises(openai.BadRequestError) as caught:
            client().chat.completions.create(**asked() | {"messages": [{"role": "user", "content": parts}]})
        self.assertEqual(caught.exception.code, "E-REQUEST-UNSUPPORTED")
        self.assertIn("messages[0].content[1]", caught.exception.message)

    def test_a_developer_is_a_system(self):
        messages = [{"role": "developer", "content": "Answer with code."}, {"role": "user", "content": QUESTION}]
        answer = client().chat.completions.create(**asked() | {"messages": messages})
        self.assertEqual(answer.choices[0].message.role, "assistant")

    def test_timeout(self):
        with self.assertRaises(openai.APITimeoutError):
            client(timeout=0.0005).chat.completions.create(**asked())
        self.assertEqual(client().chat.completions.create(**asked()).choices[0].message.content, ANSWER)


if __name__ == "__main__":
    unittest.main()
