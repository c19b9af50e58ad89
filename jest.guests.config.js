/** Real guests from Debian packages (scripts/fetch-guests.sh prepares them). */
module.exports = {
  ...require('./jest.config.js'),
  testPathIgnorePatterns: ['/node_modules/'],
  testMatch: ['<rootDir>/tests/guests-real/**/*.test.ts'],
  testTimeout: 600000,
};
