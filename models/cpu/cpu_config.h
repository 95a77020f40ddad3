// CpuConfig and TimeConfig: the design's `cpu:` and `time:` sections.
#pragma once

#include "sim/core/config.h"
#include "sim/core/units.h"

namespace collapsar {

enum class Dependence : std::uint8_t { trace, none, all };
template <>
struct EnumNames<Dependence> {
  static constexpr std::array<std::pair<std::string_view, Dependence>, 3> names{
      {{"trace", Dependence::trace}, {"none", Dependence::none}, {"all", Dependence::all}}};
};
enum class Interleave : std::uint8_t { timed, trace };
template <>
struct EnumNames<Interleave> {
  static constexpr std::array<std::pair<std::string_view, Interleave>, 2> names{
      {{"timed", Interleave::timed}, {"trace", Interleave::trace}}};
};
enum class Pace : std::uint8_t { model, timestamps, fixed };
template <>
struct EnumNames<Pace> {
  static constexpr std::array<std::pair<std::string_view, Pace>, 3> names{
      {{"model", Pace::model}, {"timestamps", Pace::timestamps}, {"fixed", Pace::fixed}}};
};

struct CpuConfig {
  std::uint32_t count = 1;
  Frequency frequency{2.6e9};
  double cycles_per_instruction = 0.5;
  std::uint32_t outstanding = 10;  // line-fill buffers of Skylake; 1 = nothing overlaps
  std::uint32_t window = 224;      // reorder buffer of Skylake
  Dependence dependence = Dependence::trace;
  Duration time_slice = std::chrono::milliseconds(3);
  Interleave interleave = Interleave::timed;
  std::uint32_t store_buffer = 56;  // Skylake; configs/machines has the sources
  template <class V>
  void describe(V& v) {
    v("count", count, "CPUs");
    v("frequency", frequency, "of the core clock");
    v("cycles_per_instruction", cycles_per_instruction, "while everything hits; kept in 1/1024 of a cycle");
    v("outstanding", outstanding, "misses that may overlap; 1 = nothing overlaps");
    v("window", window, "instructions that may pass an unfinished miss");
    v("store_buffer", store_buffer,
      "stores that may wait for their line while the program goes on; 0, or one outstanding miss: they wait as loads "
      "do");
    v("dependence", dependence, "trace | none | all: which addresses depend on the load before");
    v("time_slice", time_slice, "when threads outnumber CPUs");
    v("interleave", interleave, "timed | trace: trace switches threads exactly where the file does");
  }
  void validate() const {
    if (count == 0 || count > 1024) throw std::invalid_argument(fmt::format("count: {}; 1 to 1024", count));
    if (!(frequency.hertz >= 1e6 && frequency.hertz <= 1e12))
      throw std::invalid_argument("frequency: between 1MHz and 1THz");
    if (!(cycles_per_instruction >= 0 && cycles_per_instruction <= 1000))
      throw std::invalid_argument(
          fmt::format("cycles_per_instruction: {}; between 0 and 1000", cycles_per_instruction));
    if (outstanding == 0 || outstanding > 256)
      throw std::invalid_argument(fmt::format("outstanding: {}; 1 to 256", outstanding));
    if (window == 0 || window > 65'536) throw std::invalid_argument(fmt::format("window: {}; 1 to 65536", window));
    if (store_buffer > 1024) throw std::invalid_argument(fmt::format("store_buffer: {}; 0 to 1024", store_buffer));
    if (time_slice <= Duration{}) throw std::invalid_argument("time_slice: 0; a slice needs a length");
  }
};

struct TimeConfig {
  Pace pace = Pace::model;
  Duration fixed = std::chrono::nanoseconds(2);
  double scale = 1;
  template <class V>
  void describe(V& v) {
    v("pace", pace, "model | timestamps | fixed: what decides when the next reference starts");
    v("fixed", fixed, "with pace: fixed, the time between two references of a thread");
    v("scale", scale, "stretches the time between references, never the cost of kernel, daemon or device");
  }
  void validate() const {
    if (!(scale >= 1 || (pace != Pace::model && scale > 0)))
      throw std::invalid_argument(
          fmt::format("scale: {}; at least 1 (pace model cannot run faster than its CPU)", scale));
  }
};

}  // namespace collapsar
