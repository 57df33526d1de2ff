// json: JSON bodies to records of texts, by a table of the fields that matter. simdjson on demand.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace bounced::parse::providers {

/// One field that matters. Fields that are in no table are skipped, whatever they hold; a value of
/// another type than expected is as good as absent, but numbers and booleans are texts, too.
/// Of a name that comes twice, and of a list of scalars, the first value that says something
/// counts.
struct Field {
  static constexpr std::uint8_t kNone = 0xff;
  std::string_view name;           ///< "" = any name, "ses:*" = any that begins so
  std::uint8_t slot = kNone;       ///< Record::at of a scalar
  std::span<const Field> inner{};  ///< fields of an object, or of the objects of a list
  std::uint8_t list = kNone;       ///< each element becomes a Part of that list
};

/// An element of a list: a scalar is at[0], an object's fields go where its table says.
struct Part {
  static constexpr std::size_t kSlots = 8;
  std::uint8_t list = 0;
  std::array<std::string_view, kSlots> at{};
};

/// What one object told. Texts live until the reader reads again.
struct Record {
  static constexpr std::size_t kSlots = 40;
  std::array<std::string_view, kSlots> at{};
  std::vector<Part> parts;
  [[nodiscard]] std::string_view operator[](std::size_t slot) const { return at[slot]; }
};

/// Which objects of a document are items: those at the end of a path of names through objects.
/// Arrays on the way are gone through; an object without the next name is an item itself.
struct Shape {
  std::span<const std::string_view> path;
  std::span<const Field> fields;
};

/// Deeper documents are refused: nobody's events are.
inline constexpr int kJsonDepthMax = 64;

/// One per thread and nesting of documents; keeps its buffers, unless a body was large.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  enum class Outcome : std::uint8_t {
    read,
    no_json,   ///< not JSON, or broken somewhere
    too_deep,  ///< over kJsonDepthMax
  };
  struct Counts {
    std::uint32_t items = 0;   ///< visited
    std::uint32_t others = 0;  ///< elements that are no objects
  };
  using Visit = void (*)(void* self, const Record& record);

  /// Reads one document; kBlockPadding bytes behind `text` must be readable. Bad UTF-8 is repaired.
  Outcome read(std::string_view text, const Shape& shape, Visit visit, void* self, Counts& counts);
  /// The same of any text: copied first.
  Outcome read_copy(std::string_view text, const Shape& shape, Visit visit, void* self,
                    Counts& counts);
  /// Calls visit(record) for each item.
  template <class F>
  Outcome read(std::string_view text, const Shape& shape, Counts& counts, F&& visit) {
    return read(text, shape, &call<F>, &visit, counts);
  }
  template <class F>
  Outcome read_copy(std::string_view text, const Shape& shape, Counts& counts, F&& visit) {
    return read_copy(text, shape, &call<F>, &visit, counts);
  }

 private:
  template <class F>
  static void call(void* self, const Record& record) {
    (*static_cast<std::remove_reference_t<F>*>(self))(record);
  }
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Whether the text is newline-delimited JSON of two lines or more, rather than one document.
bool is_json_lines(std::string_view text);

}  // namespace bounced::parse::providers
