// The templates of config.h: how one field is read, written and listed. Included by config.h alone.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "sim/core/config.h"

namespace collapsar {

// ---- Scalars --------------------------------------------------------------------------------------------------------

// "found `alwyas`; choose always, madvise or never; did you mean always?"
[[noreturn]] void unknown_name(std::string_view found, const std::vector<std::string>& names);

template <class E>
concept NamedEnum = std::is_enum_v<E> && requires {
  EnumNames<E>::names;
};

template <NamedEnum E>
std::vector<std::string> enum_names() {
  std::vector<std::string> names;
  for (const auto& entry : EnumNames<E>::names) names.emplace_back(entry.first);
  return names;
}

template <NamedEnum E>
struct ScalarText<E> {
  static E parse(std::string_view text) {
    for (const auto& [name, value] : EnumNames<E>::names)
      if (name == text) return value;
    unknown_name(text, enum_names<E>());
  }
  static std::string print(E value) {
    for (const auto& [name, named] : EnumNames<E>::names)
      if (named == value) return std::string(name);
    SIM_ASSERT(false, "an enum value {} has no name", static_cast<long>(value));
    return "";
  }
  static std::string expected_text() { return fmt::format("{}", fmt::join(enum_names<E>(), "|")); }
};

// What config.cc parses and prints itself.
#define COLLAPSAR_SCALAR(Type, what)                   \
  template <>                                          \
  struct ScalarText<Type> {                            \
    static Type parse(std::string_view text);          \
    static std::string print(const Type& value);       \
    static constexpr std::string_view expected = what; \
  }
COLLAPSAR_SCALAR(bool, "true|false");
COLLAPSAR_SCALAR(std::uint64_t, "count");
COLLAPSAR_SCALAR(std::uint32_t, "count");
COLLAPSAR_SCALAR(std::int64_t, "integer");
COLLAPSAR_SCALAR(double, "number");
COLLAPSAR_SCALAR(std::string, "text");
COLLAPSAR_SCALAR(Duration, "duration");
COLLAPSAR_SCALAR(Bytes, "bytes");
COLLAPSAR_SCALAR(Frequency, "frequency");
COLLAPSAR_SCALAR(Bandwidth, "bandwidth");
#undef COLLAPSAR_SCALAR

// ---- Which shape a type has -----------------------------------------------------------------------------------------

struct ProbeVisitor {
  template <class T>
  void operator()(std::string_view, T&, std::string_view) {}
};
template <class T>
concept Described = requires(T& value, ProbeVisitor& v) {
  value.describe(v);
};
template <class T>
concept Scalar = requires(std::string_view text, const T& value) {
  { ScalarText<T>::parse(text) } -> std::convertible_to<T>;
  { ScalarText<T>::print(value) } -> std::convertible_to<std::string>;
};
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
using PageSizeCounts = std::map<PageSize, std::uint32_t>;

// What may be written for a T, in one phrase.
template <class T>
std::string type_text() {
  if constexpr (NamedEnum<T>) return ScalarText<T>::expected_text();
  else if constexpr (Scalar<T>) return std::string(ScalarText<T>::expected);
  else if constexpr (std::is_same_v<T, FilePath>) return "file";
  else if constexpr (is_vector<T>) return "list of " + type_text<typename T::value_type>();
  else if constexpr (is_optional<T>) return type_text<typename T::value_type>() + " or none";
  else if constexpr (std::is_same_v<T, PageSizeCounts>) return "count, or {4K: count, 2M: count, 1G: count}";
  else return "map";
}

// ---- Reading --------------------------------------------------------------------------------------------------------

std::string join_path(std::string_view path, std::string_view key);
[[noreturn]] void wrong_kind(const ConfigNode& node, const std::string& path, const std::string& expected);
[[noreturn]] void broken_rule(const ConfigNode& map, const std::string& path, std::string_view message);
// Refuses the first entry of `map` whose key is not in `known`.
void refuse_unknown_keys(const ConfigNode& map, const std::string& path, const std::vector<std::string>& known);
void read_page_size_counts(const ConfigNode& node, const std::string& path, PageSizeCounts& out);
ConfigNode write_page_size_counts(const PageSizeCounts& value);
FilePath file_path(const ConfigNode& node);

template <class T>
void read_field(const ConfigNode& node, const std::string& path, T& out);

// Reads the entries of one map; refuse_unknown() then refuses those that describe() did not ask for.
class ConfigReader {
 public:
  ConfigReader(const ConfigNode& map, const std::string& path) : map_(map), path_(path) {}
  template <class T>
  void operator()(std::string_view key, T& field, std::string_view /*help*/) {
    known_.emplace_back(key);
    if (const ConfigNode* node = map_.child(key)) read_field(*node, join_path(path_, key), field);
  }
  void refuse_unknown() const { refuse_unknown_keys(map_, path_, known_); }

 private:
  const ConfigNode& map_;
  const std::string& path_;
  std::vector<std::string> known_;
};

template <class T>
T read_scalar(const ConfigNode& node, const std::string& path) {
  if (!node.is_scalar()) wrong_kind(node, path, type_text<T>());
  try {
    return ScalarText<T>::parse(node.text);
  } catch (const std::invalid_argument& error) {
    config_error(node.place, path, error.what());
  }
}

template <class T>
void read_struct(const ConfigNode& node, const std::string& path, T& out) {
  if (!node.is_map()) wrong_kind(node, path, "a map");
  ConfigReader reader(node, path);
  out.describe(reader);
  reader.refuse_unknown();
  if constexpr (requires { out.validate(); }) {
    try {
      out.validate();
    } catch (const ConfigError&) {
      throw;
    } catch (const std::invalid_argument& error) {
      broken_rule(node, path, error.what());
    }
  }
}

// A scalar or a map stands for the list that holds just it.
template <class T>
void read_list(const ConfigNode& node, const std::string& path, std::vector<T>& out) {
  out.clear();
  const auto append = [&out](const ConfigNode& item, const std::string& item_path) {
    T value{};
    read_field(item, item_path, value);
    out.push_back(std::move(value));
  };
  if (!node.is_list()) return append(node, path);
  for (std::size_t i = 0; i < node.children.size(); ++i) append(node.children[i], fmt::format("{}[{}]", path, i));
}

template <class T>
void read_field(const ConfigNode& node, const std::string& path, T& out) {
  if constexpr (Scalar<T>) {
    out = read_scalar<T>(node, path);
  } else if constexpr (is_vector<T>) {
    read_list(node, path, out);
  } else if constexpr (is_optional<T>) {
    if (node.is_none()) return out.reset();
    if (!out) out.emplace();
    if constexpr (Described<typename T::value_type>)
      if (!node.is_map()) wrong_kind(node, path, "a map or none");
    read_field(node, path, *out);
  } else if constexpr (std::is_same_v<T, PageSizeCounts>) {
    read_page_size_counts(node, path, out);
  } else if constexpr (std::is_same_v<T, FilePath>) {
    if (!node.is_scalar()) wrong_kind(node, path, "a file");
    out = file_path(node);
  } else if constexpr (std::is_same_v<T, ConfigNode>) {
    out = node;
    out.key.clear();  // it is a top of its own now
  } else {
    static_assert(Described<T>, "a config field needs describe(), EnumNames or ScalarText");
    read_struct(node, path, out);
  }
}

template <class T>
void read_config(const ConfigNode& node, T& out, const std::string& path) {
  read_field(node, path, out);
}

// ---- Writing --------------------------------------------------------------------------------------------------------

template <class T>
ConfigNode write_field(T& value);

class ConfigWriter {
 public:
  explicit ConfigWriter(ConfigNode& map) : map_(map) {}
  template <class T>
  void operator()(std::string_view key, T& field, std::string_view /*help*/) {
    ConfigNode node = write_field(field);
    node.key = key;
    map_.children.push_back(std::move(node));
  }

 private:
  ConfigNode& map_;
};

ConfigNode write_text(const std::string& text);  // quoted where a reader would see more than text in it

template <class T>
ConfigNode write_field(T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return write_text(value);
  } else if constexpr (Scalar<T>) {
    return ConfigNode::scalar(ScalarText<T>::print(value));
  } else if constexpr (is_vector<T>) {
    ConfigNode list = ConfigNode::list();
    for (auto& item : value) list.children.push_back(write_field(item));
    return list;
  } else if constexpr (is_optional<T>) {
    return value ? write_field(*value) : ConfigNode::scalar("none");
  } else if constexpr (std::is_same_v<T, PageSizeCounts>) {
    return write_page_size_counts(value);
  } else if constexpr (std::is_same_v<T, FilePath>) {
    return write_text(value.text);
  } else if constexpr (std::is_same_v<T, ConfigNode>) {
    return value;
  } else {
    ConfigNode map = ConfigNode::map();
    ConfigWriter writer(map);
    value.describe(writer);
    return map;
  }
}

template <class T>
ConfigNode write_config(const T& value) {
  T copy = value;  // describe() hands out references to change
  return write_field(copy);
}

// ---- Listing --------------------------------------------------------------------------------------------------------

class KeyLister {
 public:
  KeyLister(std::vector<KeyInfo>& keys, std::string path) : keys_(keys), path_(std::move(path)) {}
  template <class T>
  void operator()(std::string_view key, T& field, std::string_view help) {
    const std::string path = join_path(path_, key);
    if constexpr (!Described<T>)
      keys_.push_back({path, type_text<T>(), to_yaml_line(write_field(field)), std::string(help)});
    list_inside(path, field);
  }

 private:
  template <class T>
  void list_inside(const std::string& path, T& field) {
    if constexpr (Described<T>) {
      KeyLister inner(keys_, path);
      field.describe(inner);
    } else if constexpr (is_vector<T>) {
      typename T::value_type item{};
      list_inside(path + "[]", item);
    } else if constexpr (is_optional<T>) {
      typename T::value_type present{};
      list_inside(path, field ? *field : present);
    }
  }

  std::vector<KeyInfo>& keys_;
  std::string path_;
};

template <class T>
std::vector<KeyInfo> list_keys(const T& value) {
  std::vector<KeyInfo> keys;
  T copy = value;
  KeyLister lister(keys, "");
  copy.describe(lister);
  return keys;
}

}  // namespace collapsar
