// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.h"

namespace collapsar {

enum class NumberFormat : std::uint8_t { count, nanoseconds, bytes, share };

std::string with_separators(std::uint64_t n);     // "199,687,753"
std::string readable_time(double ns);             // "89 ns", "12.3 us", "1.23 s", "120.1 s"
std::string readable_bytes(std::uint64_t bytes);  // "512 B", "263.7 MiB"
std::string readable_share(double share);         // "42.7 %"
std::string readable(double value, NumberFormat format);
// What `value` is beside `base`: "-43.4 %", "+38.2 pt" for shares, "x12.5" from ten times on, "new" where base is 0, "=".
std::string readable_difference(double base, double value, NumberFormat format);

// Padded with spaces to `width` columns; UTF-8 is counted by characters.
std::string pad_left(std::string_view text, std::size_t width);
std::string pad_right(std::string_view text, std::size_t width);

// Rows of cells as lines: columns two spaces apart, `sides` says for each whether its texts stand left ('<') or right ('>'). A row
// that ends early may be as long as it likes.
std::string aligned(const std::vector<std::vector<std::string>>& rows, std::string_view sides,
                    std::string_view indent = "");

// A field of CSV (RFC 4180): in quotes where it must be.
std::string csv_field(std::string_view text);

}  // namespace collapsar
