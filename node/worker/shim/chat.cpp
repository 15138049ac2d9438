// A C face for llama.cpp's own chat code: Jinja templates with tools, and answers parsed back into tool calls.
// JSON in, JSON out, so that no C++ type crosses the border. Every exception ends here: above is Rust, where one would
// end the process. Nothing here opens a file, starts a thread or logs: what llama.cpp would log quotes prompts.

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "chat.h"
#include "json.h"
#include "log.h"

struct croft_chat {
    common_chat_templates_ptr templates;
};

static char * copy(const std::string & text) {
    char * out = static_cast<char *>(std::malloc(text.size() + 1));
    if (out != nullptr) {
        std::memcpy(out, text.c_str(), text.size() + 1);
    }
    return out;
}

static common_json strings(const std::vector<std::string> & texts) {
    common_json out = common_json::array();
    for (const auto & text : texts) {
        out.push_back(text);
    }
    return out;
}

extern "C" void croft_chat_hush(void) {
    common_log_set_verbosity_thold(-1);
}

extern "C" void croft_chat_free_text(char * text) {
    std::free(text);
}

extern "C" void croft_chat_free(croft_chat * chat) {
    delete chat;
}

extern "C" croft_chat * croft_chat_new(const llama_model * model, const char * source) {
    try {
        auto * chat = new croft_chat;
        try {
            chat->templates = common_chat_templates_init(model, source);
        } catch (...) {
            delete chat;
            return nullptr;
        }
        return chat;
    } catch (...) {
        return nullptr;
    }
}

// Whether the template itself tells the model of tools.
extern "C" bool croft_chat_takes_tools(const croft_chat * chat) {
    try {
        const auto caps = common_chat_templates_get_caps(chat->templates.get());
        const auto tools = caps.find("supports_tools");
        return tools != caps.end() && tools->second;
    } catch (...) {
        return false;
    }
}

// Renders {"messages", "tools", "tool_choice", "parallel", "plain", "open", "date"}; "plain": no parser and no grammar
// are wanted; "open": the model's turn is begun; "date": what a template is told instead of today.
extern "C" char * croft_chat_render(const croft_chat * chat, const char * request) {
    try {
        const auto in = common_json::parse(request);
        common_chat_templates_inputs inputs;
        inputs.messages = common_chat_msgs_parse_oaicompat(in.at("messages"));
        if (in.contains("tools")) {
            inputs.tools = common_chat_tools_parse_oaicompat(in.at("tools"));
        }
        inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(in.value("tool_choice", "auto"));
        inputs.parallel_tool_calls = in.value("parallel", false);
        inputs.force_pure_content = in.value("plain", false);
        inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
        inputs.add_generation_prompt = in.value("open", true);
        if (in.contains("date")) {
            inputs.chat_template_kwargs["date_string"] = in.at("date").dump_safe();
            inputs.chat_template_kwargs["datetime"] = in.at("date").dump_safe();
        }
        const auto params = common_chat_templates_apply(chat->templates.get(), inputs);
        common_json triggers = common_json::array();
        for (const auto & trigger : params.grammar_triggers) {
            common_json one = common_json::object();
            one["type"] = static_cast<int>(trigger.type);
            one["value"] = trigger.value;
            one["token"] = static_cast<int>(trigger.token);
            triggers.push_back(one);
        }
        common_json out = common_json::object();
        out["prompt"] = params.prompt;
        out["grammar"] = params.grammar;
        out["lazy"] = params.grammar_lazy;
        out["triggers"] = triggers;
        out["preserved"] = strings(params.preserved_tokens);
        out["stops"] = strings(params.additional_stops);
        out["format"] = static_cast<int>(params.format);
        out["generation_prompt"] = params.generation_prompt;
        out["parser"] = params.parser;
        return copy(out.dump_safe());
    } catch (...) {
        return nullptr;
    }
}

// How an answer is read: what croft_chat_render said of its "format", "generation_prompt" and "parser".
struct croft_chat_reader {
    common_chat_parser_params params;
};

extern "C" croft_chat_reader * croft_chat_reader_new(int format, const char * generation_prompt, const char * parser) {
    if (format < 0 || format >= COMMON_CHAT_FORMAT_COUNT) {
        return nullptr;
    }
    try {
        auto * reader = new croft_chat_reader;
        try {
            reader->params.format = static_cast<common_chat_format>(format);
            reader->params.generation_prompt = generation_prompt;
            reader->params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
            if (parser[0] != '\0') {
                reader->params.parser.load(parser);
            }
        } catch (...) {
            delete reader;
            return nullptr;
        }
        return reader;
    } catch (...) {
        return nullptr;
    }
}

extern "C" void croft_chat_reader_free(croft_chat_reader * reader) {
    delete reader;
}

// The message so far: {"content", "reasoning", "calls": [{"name", "arguments"}]}.
extern "C" char * croft_chat_read(const croft_chat_reader * reader, const char * text, bool partial) {
    try {
        const auto message = common_chat_parse(text, partial, reader->params);
        common_json calls = common_json::array();
        for (const auto & call : message.tool_calls) {
            common_json one = common_json::object();
            one["name"] = call.name;
            one["arguments"] = call.arguments;
            calls.push_back(one);
        }
        common_json out = common_json::object();
        out["content"] = message.content;
        out["reasoning"] = message.reasoning_content;
        out["calls"] = calls;
        return copy(out.dump_safe());
    } catch (...) {
        return nullptr;
    }
}
