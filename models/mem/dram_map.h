// DramMap: which channel, rank, bank and row an address lies in.
//
// Models:      named orders of the address fields, from high to low: Ro row, Ra rank, Ba bank, Bg bank group, Co column
//              (64-byte lines of a row), Ch channel. Without Bg the bank group is the low part of Ba, as in Ramulator 2's
//              RoBaRaCoCh; DRAMsim3's rochrababgco is RoChRaBaBgCo here (case does not matter). MOP4CLXOR (Ramulator 2):
//              from low to high four lines of a row, channel, bank group, bank, rank, the rest of the column, row; channel,
//              bank and rank numbers XORed with the low bits of that rest, so that strides spread over banks.
// Simplified:  a row field with another field above it has 65,536 rows, and addresses beyond wrap; real controllers also mix
//              row bits into channel and bank.
// Time:        none.
// Source:      Ramulator 2, addr_mapper; DRAMsim3, configuration.cc; JESD79-4 and JESD79-5 addressing tables (rows).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "models/mem/dram_config.h"

namespace collapsar {

class DramMap {
 public:
  enum Field : std::uint8_t { kRow, kBank, kGroup, kRank, kColumn, kChannel };
  static constexpr std::size_t kFields = 6;
  struct Location {
    std::uint32_t channel, bank;  // bank: of the channel, ranks side by side; its lowest part is the bank group
    std::uint64_t row;
  };

  // Requires: validate() passes.
  DramMap(const DramConfig& config, const DramTiming& timing);
  static void validate(const DramConfig& config);

  Location locate(PhysAddr address) const {
    if (!is_plain_) [[unlikely]]
      return location(position(address));
    std::uint64_t rest = address.value >> kLineShift, channel = 0;
    if (odd_channels_ > 0) {
      const auto quotient = std::uint64_t((Wide{rest} * reciprocal_) >> 64);
      channel = rest - quotient * odd_channels_, rest = quotient;
    }
    const auto field = [&](Field f) { return (rest >> places_[f].shift) & places_[f].mask; };
    return {std::uint32_t(channel | field(kChannel)),
            std::uint32_t((field(kRank) * banks_per_group_ + field(kBank)) * groups_ + field(kGroup)), field(kRow)};
  }

  // The same for one line after the other, without dividing each time.
  struct Position {
    std::array<std::uint64_t, kFields + 1> digits;  // of the address; MOP4CLXOR has two for the column
    std::array<std::uint64_t, kFields> fields{};
  };
  Position position(PhysAddr address) const {
    std::uint64_t rest = address.value >> kLineShift;
    Position at;
    std::size_t i = 0;
    for (const Digit& digit : digits_) {
      std::uint64_t& value = at.digits[i++];
      if (digit.shift >= 0) value = rest & (digit.size - 1), rest >>= digit.shift;
      else value = rest % digit.size, rest /= digit.size;
      at.fields[digit.field] += value * digit.scale;
    }
    return at;
  }
  // On to the next line, as an odometer.
  void step(Position& at) const {
    std::size_t i = 0;
    for (const Digit& digit : digits_) {
      at.fields[digit.field] += digit.scale;
      if (++at.digits[i] < digit.size) return;
      at.fields[digit.field] -= digit.size * digit.scale;
      at.digits[i++] = 0;
    }
  }
  Location location(const Position& at) const {
    // No copy where none is needed: step() has just written a part of it, which the host waits for before it reads the whole.
    if (!mixes_) return location(at.fields);
    std::array<std::uint64_t, kFields> fields = at.fields;
    mix(fields);
    return location(fields);
  }
  // Neighbouring lines of a channel lie in different bank groups.
  bool alternates_groups() const { return alternates_groups_; }

 private:
  static constexpr unsigned kLineShift = 6;
  struct Digit {  // a part of a field; the address is read in digits from low to high
    Field field;
    std::int8_t shift;  // log2(size); -1: not a power of two
    std::uint64_t size, scale;
  };
  struct Place {  // of a field, in bits
    unsigned shift = 0;
    std::uint64_t mask = 0;
  };
  __extension__ typedef unsigned __int128 Wide;
  Location location(const std::array<std::uint64_t, kFields>& fields) const {
    return {std::uint32_t(fields[kChannel]),
            std::uint32_t((fields[kRank] * banks_per_group_ + fields[kBank]) * groups_ + fields[kGroup]), fields[kRow]};
  }
  void add(Field field, std::uint64_t size, std::uint64_t scale = 1);
  void find_places();
  void mix(std::array<std::uint64_t, kFields>& fields) const;

  std::vector<Digit> digits_;
  std::array<std::uint64_t, kFields> sizes_{};
  std::uint32_t groups_, banks_per_group_;
  bool mixes_ = false, alternates_groups_ = false;
  // Each field is some bits of the line's number; channels that are no power of two, at the low end, are divided off before.
  bool is_plain_ = false;
  std::array<Place, kFields> places_{};
  std::uint64_t odd_channels_ = 0;  // 0: none
  std::uint64_t reciprocal_ = 0;    // of them: exact while line * channels < 2^64, as CacheArray::set_of()
};

}  // namespace collapsar
