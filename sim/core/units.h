// Units: what the simulator counts in, as types that do not mix.
//
// Models:      time in picoseconds; virtual and physical addresses, page and frame numbers; page sizes; bytes, rates.
// Time:        one tick is 1 ps in a signed 64-bit count: 106 days of simulated time.
// Source:      x86-64 paging sizes: Intel SDM Vol. 3A, chapter 4.
#pragma once

#include <algorithm>
#include <chrono>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace collapsar {

using Duration = std::chrono::duration<std::int64_t, std::pico>;

// The clock of the simulated machine. It has no now(): the EventQueue does.
struct SimClock {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<SimClock, Duration>;
  static constexpr bool is_steady = true;
};
using Time = SimClock::time_point;
inline constexpr Time kTimeZero{};
inline constexpr Time kNever = Time::max();

// A number that mixes only with its own kind.
template <class Tag>
struct Quantity {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator+(std::uint64_t n) const { return {value + n}; }
  constexpr Quantity operator-(std::uint64_t n) const { return {value - n}; }
  constexpr std::uint64_t operator-(Quantity other) const { return value - other.value; }
  constexpr Quantity& operator+=(std::uint64_t n) { return value += n, *this; }
  constexpr Quantity& operator-=(std::uint64_t n) { return value -= n, *this; }
  constexpr Quantity& operator++() { return ++value, *this; }
};
using VirtAddr = Quantity<struct VirtAddrTag>;  // byte address
using PhysAddr = Quantity<struct PhysAddrTag>;  // byte address
using Vpn = Quantity<struct VpnTag>;            // number of a 4 KiB page
using Pfn = Quantity<struct PfnTag>;            // number of a 4 KiB frame
using Bytes = Quantity<struct BytesTag>;
inline constexpr Pfn kNoPfn{~0ULL};

struct Frequency {
  double hertz = 0;
  bool operator==(const Frequency&) const = default;
};
struct Bandwidth {
  double bytes_per_second = 0;
  bool operator==(const Bandwidth&) const = default;
};

inline constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB, kTiB = 1024 * kGiB;
inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageBytes = 1ULL << kPageShift;
inline constexpr unsigned kHugeOrder = 9;                        // HPAGE_PMD_ORDER
inline constexpr std::uint64_t kHugePages = 1ULL << kHugeOrder;  // HPAGE_PMD_NR: 512
inline constexpr std::uint64_t kHugeBytes = kHugePages * kPageBytes;

enum class PageSize : std::uint8_t { k4K, k2M, k1G };
inline constexpr unsigned kPageSizes = 3;
constexpr unsigned page_shift(PageSize size) { return kPageShift + 9 * static_cast<unsigned>(size); }
constexpr std::uint64_t page_bytes(PageSize size) { return 1ULL << page_shift(size); }
constexpr std::uint64_t pages_4k(PageSize size) { return 1ULL << (9 * static_cast<unsigned>(size)); }
std::string_view suffix(PageSize size);  // "4k", "2m", "1g"

constexpr Vpn vpn_of(VirtAddr va) { return {va.value >> kPageShift}; }
constexpr Pfn pfn_of(PhysAddr pa) { return {pa.value >> kPageShift}; }
constexpr VirtAddr address_of(Vpn vpn) { return {vpn.value << kPageShift}; }
constexpr PhysAddr address_of(Pfn pfn) { return {pfn.value << kPageShift}; }
constexpr std::uint64_t align_down(std::uint64_t n, std::uint64_t step) { return n - n % step; }
constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t step) { return align_down(n + step - 1, step); }
constexpr VirtAddr align_down(VirtAddr va, std::uint64_t step) { return {align_down(va.value, step)}; }
constexpr VirtAddr align_up(VirtAddr va, std::uint64_t step) { return {align_up(va.value, step)}; }
constexpr VirtAddr huge_base(VirtAddr va) { return align_down(va, kHugeBytes); }

// Half-open range of virtual addresses.
struct VirtRange {
  VirtAddr start, end;
  constexpr bool contains(VirtAddr va) const { return start <= va && va < end; }
  constexpr bool overlaps(VirtRange o) const { return start < o.end && o.start < end; }
  constexpr bool empty() const { return end <= start; }
  constexpr std::uint64_t bytes() const { return empty() ? 0 : end - start; }
  constexpr std::uint64_t pages() const { return bytes() >> kPageShift; }
  constexpr VirtRange intersect(VirtRange o) const { return {std::max(start, o.start), std::min(end, o.end)}; }
  constexpr bool operator==(const VirtRange&) const = default;
};

// A clock of constant frequency, counted from one origin (time 0) so that rounding never adds up.
// Sub-cycle positions are kept in 1/kSubcycles of a cycle; a cycle count fits for 20 simulated days at 5 GHz.
class Clock {
 public:
  static constexpr std::int64_t kSubcycles = 1024;
  explicit Clock(Frequency frequency)
      : ps_per_subcycle_(1e12 / (frequency.hertz * kSubcycles)), subcycles_per_ps_(1 / ps_per_subcycle_) {}
  // The moment of sub-cycle `n`, rounded to the nearest tick.
  Time time_of(std::int64_t n) const { return Time(Duration(std::int64_t(double(n) * ps_per_subcycle_ + 0.5))); }
  // The first sub-cycle whose time_of is not before `t`.
  std::int64_t first_not_before(Time t) const {
    auto n = std::int64_t((double(t.time_since_epoch().count()) - 0.5) * subcycles_per_ps_) + 1;  // all but certainly
    while (n > 0 && time_of(n - 1) >= t) --n;
    while (time_of(n) < t) ++n;
    return n;
  }
  // Length of `n` sub-cycles as a duration (for plain latencies).
  Duration duration(std::int64_t n) const { return Duration(std::int64_t(double(n) * ps_per_subcycle_ + 0.5)); }

 private:
  double ps_per_subcycle_,
      subcycles_per_ps_;  // double: exact products below 2^53 ticks (2.5 h); beyond, off by at most one tick
};

// Text -> value. Each throws std::invalid_argument that says what was found and what would be right.
Duration parse_duration(std::string_view text);    // "10ms", "80us", "1.5s", "0" ; ps ns us ms s min h
Bytes parse_bytes(std::string_view text);          // "2MiB", "32KiB", "4096B", "8GiB", "0"
Frequency parse_frequency(std::string_view text);  // "2.6GHz", "1200MHz"
Bandwidth parse_bandwidth(std::string_view text);  // "3GB/s", "500MB/s"
std::uint64_t parse_count(
    std::string_view text);  // "4096", "200M" (decimal multiples k M G T), "1_000", "0x10"; not "010"
// Value -> shortest text that parses back to the same value.
std::string to_text(Duration d);
std::string to_text(Bytes b);
std::string to_text(Frequency f);
std::string to_text(Bandwidth b);
std::string to_hex(std::uint64_t value);  // "0x1a2b"

inline double to_ns(Duration d) { return double(d.count()) / 1e3; }

}  // namespace collapsar

template <class Tag>
struct std::hash<collapsar::Quantity<Tag>> {
  std::size_t operator()(collapsar::Quantity<Tag> q) const noexcept { return q.value * 0x9E3779B97F4A7C15ULL; }
};
