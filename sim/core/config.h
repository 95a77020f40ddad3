// Config: YAML <-> plain structs, through the one list that each struct gives.
//
//   struct KhugepagedConfig {
//     std::uint64_t pages_to_scan = 4096;
//     template <class V> void describe(V& v) { v("pages_to_scan", pages_to_scan, "base pages looked at per wake-up"); }
//     void validate() const;  // optional; throws std::invalid_argument "pages_to_scan: rule that is broken"
//   };
//
// Fields:      bool; 32 and 64-bit counts, std::int64_t, double, std::string; Duration, Bytes, Frequency, Bandwidth,
//              PageSize; FilePath; enums with EnumNames; types with ScalarText; structs with describe(); std::vector
//              and std::optional (`none`) of these; std::map<PageSize, std::uint32_t>; ConfigNode (the subtree as it
//              is).
// Strict:      unknown and repeated keys, missing units, anchors, tags and empty values are refused, with the place.
// Layers:      later wins; maps merge, everything else is replaced whole. A plain dotted key is a path; a quoted key is
//              taken as it is.
#pragma once

#include <array>
#include <concepts>
#include <map>
#include <optional>
#include <utility>

#include "sim/core/config_node.h"
#include "sim/core/units.h"

namespace collapsar {

// ---- Scalars: what a model specialises beside its own types ---------------------------------------------------------

// template <> struct EnumNames<E> { static constexpr std::array<std::pair<std::string_view, E>, N> names{{...}}; };
template <class E>
struct EnumNames;

// template <> struct ScalarText<T> {
//   static T parse(std::string_view text);      // throws std::invalid_argument: what was found; what would be right
//   static std::string print(const T& value);   // parses back to the same value
//   static constexpr std::string_view expected = "number of a CPU, or dedicated";
// };
template <class T>
struct ScalarText;

template <>
struct EnumNames<PageSize> {
  static constexpr std::array<std::pair<std::string_view, PageSize>, kPageSizes> names{
      {{"4K", PageSize::k4K}, {"2M", PageSize::k2M}, {"1G", PageSize::k1G}}};
};

// A file named in a config: relative to the file that names it; from --set, to the working directory.
struct FilePath {
  std::string text;       // as written
  std::string directory;  // of the file that names it; "" is the working directory
  std::string resolved() const;
  bool empty() const { return text.empty(); }
  bool operator==(const FilePath& other) const { return text == other.text; }
};

// ---- Texts and trees ------------------------------------------------------------------------------------------------

// Each throws ConfigError. `file` is the name that errors show.
ConfigNode parse_yaml(const std::string& text, const std::string& file);
ConfigNode load_yaml(const std::string& path);
ConfigNode parse_set(
    const std::string& assignment);  // "a.b.c=value": a map with one path, placed at "--set a.b.c=value"

struct ConfigLayers {
  ConfigNode config;               // merged, without `base`
  std::vector<std::string> files;  // all that were read, the lowest layer first
};
// Reads `file` on top of the file that its `base:` names, and so on. A base is looked for beside the file that names
// it, then in `search_dirs`.
ConfigLayers load_config_layers(const std::string& file, const std::vector<std::string>& search_dirs);
// The same for a map already read (a --set, a variant).
ConfigLayers expand_base(const ConfigNode& config, const std::vector<std::string>& search_dirs);

// ---- Trees and structs ----------------------------------------------------------------------------------------------

// Fills `out` from the map `node`; what `node` does not name keeps its value. `path` leads from the top to `node`.
template <class T>
void read_config(const ConfigNode& node, T& out, const std::string& path = "");

// The map that read_config turns into an equal struct: every key, in the order of describe().
template <class T>
ConfigNode write_config(const T& value);

struct KeyInfo {
  std::string path;           // "kernel.khugepaged.scan_sleep"; "mmu.l1d[].ways" inside a list
  std::string type;           // "duration", "always|madvise|never", "list of maps"
  std::string default_value;  // as it would be written
  std::string help;
};
template <class T>
std::vector<KeyInfo> list_keys(const T& value = {});

}  // namespace collapsar

#include "sim/core/config_fields.h"  // the templates above
