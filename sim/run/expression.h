// Expression: arithmetic over named numbers, as a validation file writes what it takes from a result.
//
//   sum     = product { ("+" | "-") product }
//   product = factor { ("*" | "/") factor }
//   factor  = number | name | "(" sum ")" | "-" factor
//   name    = letter { letter | digit | "_" | "." } [ "@" { letter | digit | "_" | "." | "-" } ]
//
// Names are those of stats, and behind @ the variant that is meant: `mmu.walks@4k`. A name takes all it can, so an
// operator behind a variant stands apart from it.
// Errors:      std::invalid_argument: what was found, at which character of the text, and what would be right.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace collapsar {

using ValueOf = std::function<double(std::string_view name)>;

double evaluate(std::string_view text, const ValueOf& value_of);
// In order of appearance, each once. Throws where evaluate() would not understand the text.
std::vector<std::string> names_in(std::string_view text);

}  // namespace collapsar
