// What a page brings along for its scripts, where there is no page. Imported before them.

const models = [
  { name: "large", label: "Large", embedded: false, featured: true, stands_in_for: null, compared_with: "lean" },
  { name: "lean", label: "Lean", embedded: false, featured: true, stands_in_for: null, compared_with: null },
  { name: "small-large", label: "Small large", embedded: true, featured: false, stands_in_for: "large", compared_with: "small-lean" },
  { name: "small-lean", label: "Small lean", embedded: true, featured: false, stands_in_for: "lean", compared_with: null },
];

globalThis.document = { body: { dataset: { models: JSON.stringify(models) } } };
