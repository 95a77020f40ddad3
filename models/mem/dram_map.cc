#include "models/mem/dram_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <optional>
#include <stdexcept>

namespace collapsar {
namespace {

using Field = DramMap::Field;

// Per bank: 8 Gb x8 DDR4 and 16 Gb x8 DDR5 (JESD79-4, JESD79-5 addressing tables).
constexpr std::uint64_t kRows = 65'536;
constexpr std::uint64_t kMopLines = 4;  // that stay together in MOP4CLXOR
constexpr std::array<std::string_view, DramMap::kFields> kNames{"ro", "ba", "bg", "ra", "co", "ch"};  // as Field

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = char(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

bool is_mop(std::string_view mapping) { return lower_case(mapping) == "mop4clxor"; }

// The fields from low to high; nullopt if `mapping` is not each of them once, Bg perhaps.
std::optional<std::vector<Field>> parse(std::string_view mapping) {
  const std::string text = lower_case(mapping);
  std::vector<Field> low_to_high;
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const auto name = std::find(kNames.begin(), kNames.end(), std::string_view(text).substr(at, 2));
    if (name == kNames.end()) return std::nullopt;
    const auto field = static_cast<Field>(name - kNames.begin());
    if (std::find(low_to_high.begin(), low_to_high.end(), field) != low_to_high.end()) return std::nullopt;
    low_to_high.insert(low_to_high.begin(), field);
  }
  const bool has_group = std::find(low_to_high.begin(), low_to_high.end(), DramMap::kGroup) != low_to_high.end();
  if (low_to_high.size() != DramMap::kFields - (has_group ? 0 : 1)) return std::nullopt;
  if (!has_group)
    low_to_high.insert(std::find(low_to_high.begin(), low_to_high.end(), DramMap::kBank), DramMap::kGroup);
  return low_to_high;
}

}  // namespace

void DramMap::validate(const DramConfig& config) {
  if (is_mop(config.mapping)) {
    if (!std::has_single_bit(config.channels) || !std::has_single_bit(config.ranks))
      throw std::invalid_argument(
          fmt::format("mapping: found {}, which needs powers of two, with {} channels and {} ranks", config.mapping,
                      config.channels, config.ranks));
  } else if (!parse(config.mapping)) {
    throw std::invalid_argument(
        fmt::format("mapping: found \"{}\", expected Ro Ba Ra Co Ch, and Bg if it is apart from Ba, each once, in any "
                    "order, such as RoBaRaCoCh or RoRaBaCoBgCh; or MOP4CLXOR",
                    config.mapping));
  }
}

DramMap::DramMap(const DramConfig& config, const DramTiming& timing)
    : groups_(timing.bank_groups), banks_per_group_(timing.banks_per_group), mixes_(is_mop(config.mapping)) {
  sizes_ = {kRows,        timing.banks_per_group, timing.bank_groups,
            config.ranks, timing.lines_per_row,   std::uint64_t{config.channels} * timing.sub_channels};
  if (mixes_) {
    add(kColumn, kMopLines);
    for (const Field field : {kChannel, kGroup, kBank, kRank}) add(field, sizes_[field]);
    add(kColumn, sizes_[kColumn] / kMopLines, kMopLines);
    add(kRow, kRows);
    alternates_groups_ = true;
    return;
  }
  const std::vector<Field> low_to_high = parse(config.mapping).value();
  for (const Field field : low_to_high) {
    if (field == kColumn)
      alternates_groups_ =
          std::any_of(digits_.begin(), digits_.end(), [](const Digit& d) { return d.field == kGroup; });
    add(field, sizes_[field]);
  }
  find_places();
}

void DramMap::find_places() {
  unsigned shift = 0;
  for (std::size_t i = 0; i < digits_.size(); ++i) {
    const Digit& digit = digits_[i];
    if (digit.shift >= 0) {
      places_[digit.field] = {shift, digit.size - 1};
      shift += unsigned(digit.shift);
    } else if (i == 0 && digit.field == kChannel) {
      odd_channels_ = digit.size, reciprocal_ = ~0ULL / digit.size + 1;
    } else {
      return;
    }
  }
  is_plain_ = true;
}

void DramMap::add(Field field, std::uint64_t size, std::uint64_t scale) {
  const bool is_top_row = field == kRow && scale == 1 && digits_.size() + 1 >= (mixes_ ? kFields + 1 : kFields);
  if (is_top_row) size = 1ULL << 57;  // all that is left of an address
  const int shift = std::has_single_bit(size) ? std::countr_zero(size) : -1;
  digits_.push_back({field, std::int8_t(shift), size, scale});
}

void DramMap::mix(std::array<std::uint64_t, kFields>& fields) const {
  std::uint64_t bits = fields[kColumn] / kMopLines;
  for (const Field field : {kChannel, kGroup, kBank, kRank}) {
    fields[field] ^= bits & (sizes_[field] - 1);
    bits >>= std::countr_zero(sizes_[field]);
  }
}

}  // namespace collapsar
