"""Tools and formats through the ollama client from PyPI; see openai_tools.py. Ollama's API cannot demand a call, so a
format shows that grammars hold, and a call is only read where the model makes one.

Run by node/e2e/tests/it/tools.rs, which says where the node is: CROFT_BASE and CROFT_KEY.
"""

import json
import os
import unittest

import ollama

CLIENT = ollama.Client(
    host=os.environ["CROFT_BASE"], headers={"authorization": "Bearer " + os.environ["CROFT_KEY"]}
)
MESSAGES = [{"role": "user", "content": "how many cars are there"}]
OPTIONS = {"temperature": 0, "num_predict": 200}


def count_rows(table: str, limit: int) -> int:
    """Counts rows.

    Args:
        table: which table
        limit: at most so many
    """
    return limit


class Calls(unittest.TestCase):
    def test_tools_are_taken(self):
        answer = CLIENT.chat("tooled", MESSAGES, tools=[count_rows], options=OPTIONS)
        self.assertTrue(answer.message.content or answer.message.tool_calls)
        for call in answer.message.tool_calls or []:
            self.assertEqual(call.function.name, "count_rows")

    def test_a_required_call(self):
        # `tool_choice` is not Ollama's, but the endpoint knows it; the client has no argument for it.
        body = {"model": "tooled", "messages": MESSAGES, "stream": False, "options": OPTIONS, "tool_choice": "required",
                "parallel_tool_calls": False,
                "tools": [{"type": "function", "function": {"name": "count_rows", "parameters": {
                    "type": "object", "required": ["table"], "properties": {"table": {"enum": ["cars", "orders"]}}}}}]}
        for stream in [False, True]:
            response = CLIENT._client.post("/api/chat", json=body | {"stream": stream})
            self.assertEqual(response.status_code, 200, response.text)
            parts = [ollama.ChatResponse(**json.loads(line)) for line in response.text.splitlines()]
            [call] = [call for part in parts for call in part.message.tool_calls or []]
            self.assertEqual(call.function.name, "count_rows")
            self.assertIn(call.function.arguments["table"], ["cars", "orders"])
            self.assertEqual("".join(part.message.content or "" for part in parts), "")

    def test_what_a_tool_answered(self):
        call = {"function": {"name": "count_rows", "arguments": {"table": "cars", "limit": 1}}}
        messages = [*MESSAGES, {"role": "assistant", "content": "", "tool_calls": [call]},
                    {"role": "tool", "tool_name": "count_rows", "content": "42"}]
        answer = CLIENT.chat("tooled", messages, tools=[count_rows], options=OPTIONS | {"num_predict": 8})
        self.assertGreater(answer.prompt_eval_count, 0)

    def test_a_model_without_tools_says_so(self):
        for stream in [False, True]:
            with self.assertRaises(ollama.ResponseError) as caught:
                list(CLIENT.chat("chat", MESSAGES, tools=[count_rows], options=OPTIONS, stream=stream))
            self.assertEqual(caught.exception.status_code, 400)
            self.assertIn("tools", caught.exception.error)


class Formats(unittest.TestCase):
    def test_a_schema_and_json(self):
        schema = {"type": "object", "required": ["n"], "additionalProperties": False,
                  "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}}}
        answer = CLIENT.chat("tooled", MESSAGES, format=schema, options=OPTIONS)
        self.assertIn(json.loads(answer.message.content)["n"], range(1, 10))
        answer = CLIENT.generate("tooled", "cars", format="json", options=OPTIONS | {"num_predict": 4})
        self.assertTrue(answer.response.lstrip().startswith("{"))


if __name__ == "__main__":
    unittest.main()
