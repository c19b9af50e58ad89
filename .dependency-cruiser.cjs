/** The layers of docs/architecture.md: imports only go down. */
const LAYERS = [
  ['spec'],
  ['memory', 'trace'],
  ['cpu', 'ept', 'iommu', 'devices'],
  ['vmx', 'svm'],
  ['machine', 'guests'],
  ['hypervisor'],
  ['debugger', 'lab'],
  ['cli', 'bench', 'examples'],
];
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
    never('vmx-and-svm-are-strangers', '^vmx/', '^svm/'),
    never('svm-and-vmx-are-strangers', '^svm/', '^vmx/'),
    never('ept-knows-no-vendor', '^ept/', '^(vmx|svm)/'),
    never('devices-do-not-know-the-processor', '^devices/', '^(cpu|ept)/'),
    never('nobody-imports-tests', '^(?!tests/)', '^tests/'),
    // Types may refer to each other in a circle (a processor and its MMU); code may not.
    { name: 'no-cycles', severity: 'error', from: { pathNot: '^tests/' }, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|node_modules|coverage|\\.cache)/' },
    includeOnly: '^(spec|memory|trace|cpu|ept|iommu|devices|vmx|svm|machine|guests|hypervisor|debugger|lab|cli|bench|examples|tests)/',
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js', '.json'] },
  },
};
