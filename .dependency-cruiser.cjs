/** The layers of docs/architecture.md: imports only go down. */
const LAYERS = [
  ['spec'],
  ['memory', 'trace'],
  ['cpu', 'ept', 'iommu', 'devices'],
  ['vmx', 'svm'],
  ['machine', 'guests'],
  ['hypervisor'],
  ['debugger', 'lab'],
  ['library'],
  ['cli', 'bench', 'examples', 'scripts'],
];
/** The public library: whatever stands above the machine may use it, the parts it is made of may not. */
const INDEX = 'index\\.ts';
const PARTS = LAYERS.slice(0, -1).flat();

/** Folders of one layer do not know each other, but for these files: `from` may import them. */
const NEIGHBOURS = [
  // What a processor asks of nested paging is the processor's to say.
  { from: 'ept', to: '^cpu/interfaces\\.ts$' },
  // An IOMMU stands between devices and memory: it speaks their messages, and its ACPI table is written as theirs are. AMD's is a PCI function.
  { from: 'iommu', to: '^devices/(dma|interrupt-message|bus|acpi-tables/table-writer|pci/(pci-device|msi))\\.ts$' },
  // A board takes memory contents and an entry state from a boot protocol.
  { from: 'machine', to: '^guests/boot/(boot-request|load-entry-state|e820)\\.ts$' },
];
const sideways = LAYERS.flatMap((layer) =>
  layer.flatMap((folder) =>
    layer
      .filter((other) => other !== folder)
      .map((other) => ({
        name: `${folder}-does-not-know-${other}`,
        severity: 'error',
        from: { path: `^${folder}/` },
        to: { path: `^${other}/`, pathNot: NEIGHBOURS.filter((n) => n.from === folder).map((n) => n.to) },
      })),
  ),
);
const upward = LAYERS.flatMap((layer, i) =>
  i + 1 < LAYERS.length
    ? [
        {
          name: `${layer.join('-')}-imports-only-downward`,
          severity: 'error',
          from: { path: `^(${layer.join('|')})/` },
          to: {
            path: `^(${LAYERS.slice(i + 1)
              .flat()
              .join('|')})/`,
          },
        },
      ]
    : [],
);
const never = (name, from, to) => ({ name, severity: 'error', from: { path: from }, to: { path: to } });

module.exports = {
  forbidden: [
    ...upward,
    ...sideways,
    never('no-part-imports-the-whole', `^(${PARTS.join('|')})/`, `^${INDEX}$`),
    never('the-library-is-no-program', `^${INDEX}$`, `^(${LAYERS.at(-1).join('|')})/`),
    never('nobody-imports-tests', '^(?!tests/)', '^tests/'),
    // Types may refer to each other in a circle (a processor and its MMU); code may not.
    { name: 'no-cycles', severity: 'error', from: { pathNot: '^tests/' }, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|node_modules|coverage|\\.cache)/' },
    includeOnly: `^((${LAYERS.flat().join('|')}|tests)/|${INDEX}$)`,
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
