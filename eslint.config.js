const tseslint = require('typescript-eslint');

/** The model has no clock, no randomness and no console of its own: everything from outside comes in through recorded ports. */
const CORE = ['memory', 'cpu', 'ept', 'iommu', 'devices', 'vmx', 'svm', 'machine', 'hypervisor', 'trace', 'spec'].map((d) => `${d}/**/*.ts`);

module.exports = tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '.cache/', '**/*.js'] },
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { prefer: 'type-imports', fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-constant-condition': ['error', { checkLoops: false }],
      eqeqeq: 'error',
    },
  },
  {
    files: CORE,
    rules: {
      'no-console': 'error',
      'no-restricted-syntax': [
        'error',
        { selector: "MemberExpression[object.name='Date'][property.name='now']", message: 'Time is the instruction count: take a Clock.' },
        { selector: "MemberExpression[object.name='Math'][property.name='random']", message: 'Entropy comes in through a recorded port.' },
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'Time is the instruction count: take a Clock.' },
      ],
    },
  },
);
