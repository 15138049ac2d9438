"""Tools and formats through the openai client from PyPI. The model `tooled` has a template that knows tools, `chat` has
not. The starter model has never seen a tool: that it calls one is the grammar's doing.

Run by node/e2e/tests/it/tools.rs, which says where the node is: CROFT_BASE and CROFT_KEY.
"""

import json
import os
import time
import unittest

import openai

CLIENT = openai.OpenAI(base_url=os.environ["CROFT_BASE"] + "/v1", api_key=os.environ["CROFT_KEY"], max_retries=0)
MESSAGES = [{"role": "user", "content": "how many cars are there"}]
COUNT = {"type": "function", "function": {"name": "count_rows", "description": "Counts rows", "parameters": {
    "type": "object", "required": ["table", "limit"], "additionalProperties": False, "properties": {
        "table": {"type": "string", "enum": ["cars", "orders"]}, "limit": {"type": "integer", "minimum": 1, "maximum": 9}}}}}
TODAY = {"type": "function", "function": {"name": "today", "parameters": {"type": "object", "properties": {}}}}
NAMED = {"type": "function", "function": {"name": "count_rows"}}


def ask(model="tooled", **more):
    return CLIENT.chat.completions.create(model=model, messages=MESSAGES, temperature=0, max_tokens=200, **more)


class Calls(unittest.TestCase):
    def check(self, name, arguments):
        self.assertEqual(name, "count_rows")
        arguments = json.loads(arguments)
        self.assertIn(arguments["table"], ["cars", "orders"])
        self.assertIn(arguments["limit"], range(1, 10))

    def test_a_required_call(self):
        for choice in ["required", NAMED]:
            answer = ask(tools=[COUNT], tool_choice=choice, parallel_tool_calls=False).choices[0]
            self.assertEqual(answer.finish_reason, "tool_calls")
            self.assertIsNone(answer.message.content)
            [call] = answer.message.tool_calls
            self.assertEqual(call.type, "function")
            self.assertTrue(call.id)
            self.check(call.function.name, call.function.arguments)

    def test_a_named_call_among_several(self):
        [call] = ask(tools=[TODAY, COUNT], tool_choice=NAMED, parallel_tool_calls=False).choices[0].message.tool_calls
        self.check(call.function.name, call.function.arguments)

    def test_a_streamed_call(self):
        asked = ask(tools=[COUNT], tool_choice="required", parallel_tool_calls=False, stream=True)
        chunks = [chunk.choices[0] for chunk in asked]
        deltas = [call for chunk in chunks for call in chunk.delta.tool_calls or []]
        self.assertEqual({delta.index for delta in deltas}, {0})
        self.assertTrue(deltas[0].id and deltas[0].function.name)
        self.assertTrue(all(delta.id is None and delta.function.name is None for delta in deltas[1:]))
        self.check(deltas[0].function.name, "".join(delta.function.arguments or "" for delta in deltas))
        self.assertEqual(chunks[-1].finish_reason, "tool_calls")
        self.assertEqual("".join(chunk.delta.content or "" for chunk in chunks), "")

    def test_several_calls_where_they_may_be_parallel(self):
        asked = ask(tools=[COUNT], tool_choice="required", parallel_tool_calls=True, stream=True)
        deltas = [call for chunk in asked for call in chunk.choices[0].delta.tool_calls or []]
        numbers = sorted({delta.index for delta in deltas})
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertTrue(numbers)
        begun = [delta for delta in deltas if delta.function.name]
        self.assertEqual([delta.index for delta in begun], numbers)
        self.assertEqual(len({delta.id for delta in begun}), len(numbers))

    def test_none_and_what_a_tool_answered(self):
        answer = ask(tools=[COUNT], tool_choice="none").choices[0]
        self.assertIsNone(answer.message.tool_calls)
        self.assertTrue(answer.message.content)
        call = {"id": "call_1", "type": "function", "function": {"name": "count_rows", "arguments": '{"table": "cars", "limit": 1}'}}
        messages = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "call_1", "content": "42"}]
        answer = CLIENT.chat.completions.create(model="tooled", messages=messages, tools=[COUNT], temperature=0, max_tokens=8)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def refused(self, code, **more):
        with self.assertRaises(openai.BadRequestError) as caught:
            ask(**more)
        self.assertEqual(caught.exception.code, code)
        return caught.exception.message

    def test_a_model_without_tools_says_so(self):
        for choice in ["required", NAMED, "auto"]:
            for stream in [False, True]:
                message = self.refused("E-REQUEST-UNSUPPORTED", model="chat", tools=[COUNT], tool_choice=choice, stream=stream)
                self.assertIn("tools", message)
        self.assertTrue(ask(model="chat", tools=[COUNT], tool_choice="none").choices[0].message.content)

    def test_what_is_not_declared_cannot_be_asked_for(self):
        other = {"type": "function", "function": {"name": "other"}}
        self.refused("E-REQUEST-INVALID", tools=[COUNT], tool_choice=other)
        self.refused("E-REQUEST-INVALID", tool_choice="required")


class Formats(unittest.TestCase):
    def test_a_schema(self):
        schema = {"type": "object", "additionalProperties": False, "required": ["kind", "rows"], "properties": {
            "kind": {"enum": ["sql", "regex"]},
            "rows": {"type": "array", "maxItems": 3, "items": {"type": "integer", "minimum": 0, "maximum": 99}}}}
        format = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
        for stream in [False, True]:
            answer = ask(response_format=format, stream=stream)
            text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
            value = json.loads(text)
            self.assertIn(value["kind"], ["sql", "regex"])
            self.assertLessEqual(len(value["rows"]), 3)

    def test_an_object(self):
        answer = ask(response_format={"type": "json_object"})
        self.assertTrue(answer.choices[0].message.content.lstrip().startswith("{"))

    def test_a_grammar(self):
        answer = ask(extra_body={"grammar": 'root ::= ("yes" | "no") " " [0-9]{3}'})
        self.assertRegex(answer.choices[0].message.content, r"^(yes|no) [0-9]{3}$")

    def test_hostile_forms_are_bounded(self):
        deep = {"type": "object"}
        for _ in range(120):
            deep = {"type": "object", "required": ["x"], "properties": {"x": deep}}
        wide = {"type": "object", "properties": {f"property_{n}": {"type": "string"} for n in range(1500)}}
        schemas = [
            deep, wide,
            {"type": "string", "minLength": 1_000_000_000},
            {"type": "string", "maxLength": 2**63},
            {"type": "array", "minItems": 1_000_000_000, "items": {"type": "array", "minItems": 100_000}},
            {"type": "string", "pattern": "^((a+)+)+$"},
            {"type": "string", "pattern": "^(a{1000}){1000}$"},
            {"type": "string", "pattern": "^" + "(" * 5000 + "a" + ")" * 5000 + "$"},
            {"type": "string", "pattern": "^(((((a?){99}){99}){99}){99})$"},
            {"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            {"allOf": [{"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
            {"$ref": "https://example.test/schema.json"},
            {"enum": ["x" * 30_000, "y" * 30_000]},
            {"type": "integer", "minimum": -(2**62), "maximum": 2**62},
        ]
        grammars = [
            'root ::= ((((("a"*)*)*)*)*)*', 'root ::= "a"{1000000}', 'root ::= ("a"{1000}){1000}',
            "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000, "root ::= root", 'root ::= a | a\na ::= b | b\nb ::= root | root | "x"',
            "root ::= " + " ".join(['("a" | "a")?'] * 300), "x" * 60_000,
        ]
        for number, more in enumerate(
            [{"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": s}}} for s in schemas]
            + [{"extra_body": {"grammar": grammar}} for grammar in grammars]
        ):
            with self.subTest(number):
                began = time.monotonic()
                try:
                    CLIENT.chat.completions.create(model="tooled", messages=MESSAGES, temperature=0, max_tokens=8, timeout=60, **more)
                except openai.BadRequestError as error:
                    self.assertIn(error.code, ["E-REQUEST-INVALID", "E-REQUEST-UNSUPPORTED"])
                self.assertLess(time.monotonic() - began, 30)
        # The same worker as before, and it answers.
        answer = CLIENT.chat.completions.create(model="tooled", temperature=0, messages=[{"role": "user", "content": "test that add(2, 3) is 5"}])
        self.assertEqual(answer.choices[0].message.content, "assert_eq!(add(2, 3), 5);")


if __name__ == "__main__":
    unittest.main()
