// The words of the text format, which anyone can write: names of events, letters of references, flags.
//
// Source:      traces/README.md, "The text format".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "sim/trace/trace.h"

namespace collapsar {

inline constexpr std::string_view kTextFirstLine = "collapsar-trace 1";
inline constexpr std::string_view kTextSuffix = ".txt";
inline constexpr std::string_view kKindLetters = "flsmrw";  // in the order of RefKind

std::optional<TraceEvent::Op> op_named(std::string_view name);

inline constexpr std::array<std::pair<std::string_view, bool TraceInfo::*>, 5> kTextFlags{{
    {"instructions", &TraceInfo::has_instructions},
    {"dependence", &TraceInfo::has_dependence},
    {"stamps", &TraceInfo::has_stamps},
    {"mappings", &TraceInfo::has_mappings},
    {"complete", &TraceInfo::complete},
}};

// Calls f(key, number) for the fields of an event that are numbers; f may change them.
template <class Event, class F>
void for_each_field(Event& e, F f) {
  f("address", e.address), f("length", e.length), f("new_address", e.new_address), f("new_length", e.new_length);
  f("offset", e.offset), f("value", e.value), f("new_tid", e.new_tid), f("file", e.file);
  f("prot", e.prot), f("map_flags", e.map_flags), f("advice", e.advice);
}

std::string escaped(std::string_view text);                   // so that it stands on one line
std::optional<std::string> unescaped(std::string_view text);  // nullopt: a backslash before anything else

}  // namespace collapsar
