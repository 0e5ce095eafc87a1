"""From input trees and base jobs to plans."""
