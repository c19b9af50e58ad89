/** Unit, property and end-to-end tests that need nothing but npm. */
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/tests'],
  testMatch: ['**/*.test.ts'],
  testPathIgnorePatterns: ['/node_modules/', '/tests/guests-real/'],
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } }] },
  maxWorkers: '100%',
  // Tests run inside a V8 context where every look-up of a global is slow; as parameters of the module they are not. Halves the time of a boot.
  sandboxInjectedGlobals: ['Array', 'BigInt', 'DataView', 'Infinity', 'Map', 'Math', 'Number', 'Object', 'Set', 'String', 'Uint8Array', 'Uint32Array'],
  testTimeout: 60000,
};
